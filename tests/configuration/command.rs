//! `tidings serve` and `tidings config` with files that are good, wrong, and not there.

use crate::files::{Home, Said, text};
use crate::support::*;

#[test]
fn a_file_in_the_home_directory_is_found_and_the_log_says_so() {
    let home = Home::new();
    let file = home.write(
        ".config/tidings/tidings.toml",
        "listen = ['127.0.0.1:0']\nworkers = 1\nlog-messages = 2\n",
    );
    let server = Server::started(home.command(&["serve"]).spawn().unwrap());
    for number in 0..5 {
        server.publish("kept", &number.to_string());
    }
    assert_eq!(data(&server.poll("/topics/kept?after=earliest")), ["3", "4"]);
    drop(server);
    let said = home.run(&["config", "print"]);
    assert!(said.output.contains(&format!("# {}:3\n", file.display())), "{said:?}");
}

#[test]
fn a_server_with_wrong_settings_does_not_start_and_says_all_that_is_wrong() {
    let home = Home::new();
    let file = home.write("t.toml", "log_age = 5\nlog-bytes = 'much'\n\n[[topic]]\nnam = 'x'\n");
    let path = file.display();
    let said = Said::from(
        home.command(&["--config", text(&file)]).env("TIDINGS_PING", "often").output().unwrap(),
    );
    assert_eq!(said.code, Some(2), "{said:?}");
    for line in [
        format!("tidings: {path}:1: log_age: there is no such setting, did you mean log-age?"),
        format!("tidings: {path}:2: log-bytes: \"much\": give a size"),
        format!("tidings: {path}:4: a [[topic]] needs a name or a prefix"),
        format!("tidings: {path}:5: nam: a topic has no such setting, did you mean name?"),
        "tidings: TIDINGS_PING: \"often\": give seconds".to_owned(),
    ] {
        assert!(said.errors.lines().any(|said| said.starts_with(&line)), "{line}: {said:?}");
    }
    assert_eq!(said.errors.lines().count(), 5, "{said:?}");
    let checked = home.run(&["config", "check", "--config", text(&file)]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert_eq!(checked.errors.lines().count(), 4, "{checked:?}");
}

#[test]
fn check_says_what_only_this_machine_would_refuse() {
    let home = Home::new();
    let file = home.write("t.toml", "connections-max = 4000000000\n");
    let said = home.run(&["config", "check", "--config", text(&file)]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.errors.contains("connections-max"), "{said:?}");
    let file = home.write("good.toml", "log-age = 60\n[[topic]]\nprefix = 'chat/'\n");
    let said = home.run(&["config", "check", "--config", text(&file)]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{said:?}");
    assert_eq!(said.output, format!("{}: good, with 1 [[topic]]\n", file.display()));
}

#[test]
fn print_says_what_would_be_used_and_who_said_so() {
    let home = Home::new();
    let file = home.write("t.toml", "log-age = 60\nlog-bytes = '1M'\n");
    let mut command = home.command(&["config", "print", "--config", text(&file), "--log-age=5"]);
    let said = Said::from(command.env("TIDINGS_LOG_MESSAGES", "7").output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    let line = |key: &str| {
        let start = format!("{key} = ");
        let line = said.output.lines().find(|line| line.starts_with(&start)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("log-age"), "log-age = 5 # flag");
    assert_eq!(line("log-messages"), "log-messages = 7 # TIDINGS_LOG_MESSAGES");
    assert_eq!(line("log-bytes"), format!("log-bytes = \"1M\" # {}:2", file.display()));
    assert_eq!(line("listen"), "listen = [\"127.0.0.1:8080\"] # default");
}

#[test]
fn help_names_the_variables_and_its_headings() {
    let home = Home::new();
    let said = home.run(&["serve", "--help"]);
    assert_eq!(said.code, Some(0));
    for word in ["TIDINGS_LOG_AGE", "TIDINGS_CONFIG", "Limits: WebSocket", "Examples:"] {
        assert!(said.output.contains(word), "{word}: {}", said.output);
    }
}

#[test]
fn a_variable_that_nobody_knows_is_told_and_the_server_starts() {
    let home = Home::new();
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0", "--workers", "1"]);
    let server = Server::started(command.env("TIDINGS_LOG_AGES", "5").spawn().unwrap());
    assert!(server.said_first.contains("did you mean TIDINGS_LOG_AGE?"), "{}", server.said_first);
}
