//! Settings from all three places at once.

use std::path::Path;

use super::*;

/// A file of the system's temporary directory, gone with this value.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("tidings-settings-{}-{name}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn invocation(words: &[&str], variables: &[(&str, &str)]) -> Invocation {
    let command = Command::new("tidings").no_binary_name(true);
    let command =
        ServeArguments::augment_args(command).mut_args(|arg| arg.env(None::<&'static str>));
    let matches = command.try_get_matches_from(words).unwrap();
    let variables =
        variables.iter().map(|&(name, value)| (OsString::from(name), OsString::from(value)));
    Invocation { variables: variables.collect(), ..Invocation::of_process(&matches) }
}

fn of<'a>(settings: &'a Settings, key: &str) -> (&'a [String], String) {
    let setting = settings.settings.iter().find(|setting| setting.key == key).unwrap();
    (&setting.values, setting.source.to_string())
}

#[test]
fn a_flag_goes_before_a_variable_before_the_file_before_the_default() {
    let file = File::new(
        "precedence",
        "log-age = 1\nlog-messages = 1\nlog-bytes = 1\nno-page = true\nlisten = ['127.0.0.1:1']\n",
    );
    let path = file.0.display().to_string();
    let settings = invocation(
        &["--config", &path, "--log-age", "3", "--no-page=false"],
        &[
            ("TIDINGS_LOG_AGE", "2"),
            ("TIDINGS_LOG_MESSAGES", "2"),
            ("TIDINGS_LISTEN", "[::1]:1,[::1]:2"),
        ],
    )
    .load()
    .unwrap();
    assert_eq!(of(&settings, "log-age"), (&["3".to_owned()][..], "flag".to_owned()));
    assert_eq!(of(&settings, "log-messages").1, "TIDINGS_LOG_MESSAGES");
    assert_eq!(of(&settings, "log-bytes"), (&["1".to_owned()][..], format!("{path}:3")));
    assert_eq!(of(&settings, "topics-max").1, "default");
    let limits = &settings.arguments.limits;
    assert_eq!((limits.log_age_ms, limits.log_messages, limits.log_bytes), (3_000, 2, 1));
    assert_eq!(settings.file.as_deref(), Some(Path::new(&path)));
    assert_eq!(of(&settings, "no-page").0, ["false"]);
    assert_eq!(of(&settings, "listen").0, ["[::1]:1,[::1]:2"]);
    assert_eq!(settings.arguments.listen_addresses().len(), 2);
}

#[test]
fn every_mistake_is_told_at_once_wherever_it_is() {
    let file = File::new("mistakes", "log-age = 'soon'\n[[topic]]\nlog-age = 1\n");
    let path = file.0.display().to_string();
    let variables = [("TIDINGS_WORKERS", "many")];
    let complaints = invocation(&["--config", &path], &variables).load().unwrap_err();
    assert_eq!(complaints.len(), 3, "{complaints:?}");
    assert!(complaints[0].starts_with(&format!("{path}:1: log-age: \"soon\": ")), "{complaints:?}");
    assert!(complaints[1].starts_with("TIDINGS_WORKERS: \"many\": "), "{complaints:?}");
    assert!(complaints[2].starts_with(&format!("{path}:2: a [[topic]] needs")), "{complaints:?}");
}

#[test]
fn an_unknown_variable_of_ours_is_told_and_ignored() {
    let variables = [
        ("TIDINGS_LOG_AGES", "5"),
        ("TIDINGS_CONFIG", "none"),
        ("TIDINGS_URL", "x"),
        ("TIDINGS_PORT_80_TCP", "x"),
        ("TIDINGS_SERVICE_HOST", "x"),
        ("HOME", "/"),
    ];
    let settings = invocation(&[], &variables).load().unwrap();
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    assert!(
        settings.warnings[0].contains("did you mean TIDINGS_LOG_AGE?"),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let named = invocation(&["--config", "/nowhere/tidings.toml"], &[]);
    assert!(named.load().unwrap_err()[0].contains("/nowhere/tidings.toml: there is no such file"));
    let by_variable = invocation(&[], &[("TIDINGS_CONFIG", "/nowhere/tidings.toml")]);
    assert!(by_variable.load().is_err());
    let directory = invocation(&["--config", "/"], &[]);
    assert!(directory.load().unwrap_err()[0].contains("cannot read it"));
    assert!(invocation(&["--config", "none"], &[]).load().unwrap().file.is_none());
}

#[test]
fn what_is_printed_can_be_used_as_a_file_and_says_the_same() {
    let text = "log-age = 0.5\nlog-bytes = '64K'\nallow-origin = ['https://a.example', 'https://b.example']\n\
                no-page = true\n[[topic]]\nprefix = 'a\"\\u00e9'\npublish = 'nobody'\n[[topic]]\nname = '007'\n";
    let file = File::new("printed", &text.replace("'a\"\\u00e9'", "\"a\\\"\\u00e9\""));
    let path = file.0.display().to_string();
    let first = invocation(&["--config", &path], &[]).load().unwrap();
    let printed = first.to_toml();
    assert!(printed.contains(&format!("# {path}:2")), "{printed}");
    let again = File::new("printed-again", &printed);
    let path = again.0.display().to_string();
    let second = invocation(&["--config", &path], &[]).load().unwrap();
    let values = |settings: &Settings| {
        let all = settings.settings.iter();
        all.map(|setting| (setting.key.clone(), setting.values.clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&first), values(&second));
    assert_eq!(format!("{:?}", first.topics), format!("{:?}", second.topics));
    assert_eq!(second.topics.len(), 2);
}

#[test]
fn reference_names_every_setting() {
    let reference = reference();
    for key in Table::of_server().keys().chain(Table::of_topics().keys()) {
        assert!(reference.contains(&format!("| `{}` |", key.name())), "{}", key.name());
    }
}
