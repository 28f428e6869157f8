//! What is made from the flags: the table in docs/operating.md, completions, manual pages; and the example file.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::files::{Home, text};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_reference_in_operating_md_is_that_of_the_flags() {
    let said = Home::new().run(&["config", "reference"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let made = said.output;
    let path = root("docs/operating.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("writes it anew. -->\n").unwrap();
    let (written, after) = rest.split_once("<!-- end -->").unwrap();
    let wanted = format!("\n{made}\n");
    if std::env::var_os("ACCEPT").is_some() {
        let page = format!("{before}writes it anew. -->\n{wanted}<!-- end -->{after}");
        std::fs::write(&path, page).unwrap();
    } else {
        let first = wanted.lines().zip(written.lines()).find(|(made, written)| made != written);
        assert!(
            wanted == written,
            "docs/operating.md is not what the flags say, first in {first:?}; this writes it anew:\n\
             ACCEPT=1 cargo test --test configuration reference"
        );
    }
}

#[test]
fn the_example_is_good_as_it_stands_and_with_all_that_is_commented_out() {
    let home = Home::new();
    let example = root("docs/deploy/tidings.toml");
    let said = home.run(&["config", "check", "--config", text(&example)]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let is_comment = |line: &&str| !line.starts_with("# ") && *line != "#";
    let whole = std::fs::read_to_string(&example).unwrap();
    let lines: Vec<&str> = whole.lines().filter(is_comment).collect();
    let whole: String =
        lines.iter().map(|line| format!("{}\n", line.strip_prefix('#').unwrap_or(line))).collect();
    let file = home.write("whole.toml", &whole);
    let said = home.run(&["config", "check", "--config", text(&file)]);
    assert_eq!(said.code, Some(0), "{said:?}");
    // What is commented out is the default.
    let printed = home.run(&["config", "print"]).output;
    let defaults: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.split_once("  #"))
        .map(|(line, _)| line.trim())
        .collect();
    let server = lines.iter().take_while(|line| !line.starts_with("#[[topic]]"));
    for line in server.filter_map(|line| line.strip_prefix('#')) {
        assert!(
            defaults.contains(&line) || line.starts_with("allow-origin"),
            "{line}: {defaults:?}"
        );
    }
}

#[test]
fn every_shell_gets_completions_and_bash_takes_its_own() {
    let home = Home::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let said = home.run(&["completions", shell]);
        assert_eq!(said.code, Some(0), "{shell}");
        for word in ["serve", "log-age", "until-delivered", "completions"] {
            assert!(said.output.contains(word), "{shell}: {word}");
        }
        if shell == "bash" {
            let file = home.write("tidings.bash", &said.output);
            let script = "set -e; source \"$1\"; COMP_WORDS=(tidings serve --log-a); COMP_CWORD=2; \
                          _tidings tidings --log-a serve; echo \"${COMPREPLY[*]}\"";
            let run = Command::new("bash").args(["-c", script, "bash", text(&file)]).output();
            let run = run.expect("bash is needed to look at its completions: apt-get install bash");
            assert_eq!(String::from_utf8(run.stdout).unwrap(), "--log-age\n");
        }
    }
    assert_eq!(home.run(&["completions", "tcsh"]).code, Some(2));
}

#[test]
fn there_is_a_manual_page_of_every_subcommand_with_its_flags() {
    let home = Home::new();
    let said = home.run(&["man", "serve"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for part in [".TH tidings-serve 1", "\\-\\-log\\-age", "TIDINGS_LOG_AGE", "Examples:"] {
        assert!(said.output.contains(part), "{part}: {}", said.output);
    }
    assert!(home.run(&["man", "config", "check"]).output.contains(".TH tidings-config-check 1"));
    let said = home.run(&["man", "nothing"]);
    assert_eq!(said.code, Some(1));
    assert!(said.errors.contains("there are: serve, publish"), "{said:?}");

    let directory = home.path("man1");
    assert_eq!(home.run(&["man", "--out", text(&directory)]).code, Some(0));
    let mut pages: Vec<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    for page in ["tidings.1", "tidings-serve.1", "tidings-config-print.1", "tidings-man.1"] {
        assert!(pages.contains(&page.to_owned()), "{pages:?}");
    }
    assert!(!pages.iter().any(|page| page.contains("help")), "{pages:?}");
}
