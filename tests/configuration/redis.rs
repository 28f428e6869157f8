//! `--redis` and what goes with it: what is refused, and that no password shows anywhere.

use crate::files::{Home, Said, text};
use crate::support::*;

const SECRET: &str = "hunter2";

fn check(arguments: &[&str]) -> Said {
    Home::new().run(&[&["config", "check"], arguments].concat())
}

#[test]
fn a_url_that_is_wrong_is_refused_with_its_part_and_its_place_and_without_its_password() {
    for (url, part) in [
        ("http://:hunter2@localhost", "write redis://, valkey://"),
        ("rediss://:hunter2@localhost", "asks for TLS, which is not there yet"),
        ("redis://:hunter2@localhost:port", "the port of host number 1"),
        ("redis://:hunter2@a,b:hunter2", "the port of host number 2"),
        ("redis://:hunter2@[::1", "host number 1"),
        ("redis://:hunter2@localhost/hunter2", "the database"),
        ("redis://hunter2@localhost", "a user and no password"),
        ("redis://:%hunter2@localhost", "the user or the password"),
        ("redis://:hunter2/@localhost", "a / before the @"),
        ("redis-sentinel://:hunter2@localhost", "the service behind the sentinels"),
    ] {
        let said = check(&["--redis", url]);
        assert_eq!(said.code, Some(1), "{url}: {said:?}");
        assert!(said.errors.starts_with("tidings: --redis: "), "{url}: {said:?}");
        assert!(said.errors.contains(part), "{url}: {said:?}");
        assert!(said.errors.ends_with(" (redis: flag)\n"), "{url}: {said:?}");
        assert!(!said.errors.contains(SECRET), "{url}: {said:?}");
    }
    let good = check(&["--redis", "redis-sentinel://tidings:hunter2@a,b:1,[::1]:2/mymaster/3"]);
    assert_eq!(good.code, Some(0), "{good:?}");
}

#[test]
fn the_other_settings_are_checked_and_have_bounds() {
    for (flag, value, why) in [
        ("--redis-prefix", "a b", "give 1 to 64 of the characters"),
        ("--redis-prefix", "{a}", "give 1 to 64 of the characters"),
        ("--redis-wait", "65", "65 is not in 0..=64"),
        ("--redis-timeout", "0", "give between 0.001"),
        ("--redis-check", "0", "give between 0.001"),
        ("--redis-publish-wait", "soon", "give seconds"),
    ] {
        let said = check(&["--redis", "redis://localhost", flag, value]);
        assert!(said.code != Some(0) && said.errors.contains(why), "{flag} {value}: {said:?}");
    }
    let said = check(&["--redis=redis://localhost", "--redis-publish-wait=0", "--redis-wait=2"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn a_password_may_stand_in_a_file_of_its_own_and_one_that_cannot_be_read_is_refused() {
    let home = Home::new();
    let file = home.write("password", "hunter2\n");
    for url in ["redis://localhost", "redis://tidings@localhost", "redis://tidings:@localhost"] {
        let said = check(&["--redis", url, "--redis-password-file", text(&file)]);
        assert_eq!(said.code, Some(0), "{url}: {said:?}");
    }
    let both = check(&["--redis", "redis://:x@localhost", "--redis-password-file", text(&file)]);
    assert!(both.errors.contains("leave one of them out"), "{both:?}");
    let missing = home.write("nothing", "").with_file_name("missing");
    for (path, why) in [
        (missing, "cannot read"),
        (home.write("empty", ""), "on its only line"),
        (home.write("blank", "\n"), "on its only line"),
        (home.write("two", "hunter2\nhunter2\n"), "on its only line"),
        (home.write("long", &"hunter2".repeat(1_000)), "more than 4096 bytes"),
    ] {
        let arguments = ["--redis", "redis://localhost", "--redis-password-file", text(&path)];
        let said = Home::new().run(&[&["serve"][..], &arguments].concat());
        assert_eq!(said.code, Some(1), "{path:?}: {said:?}");
        assert!(said.errors.contains(why) && said.errors.contains(text(&path)), "{said:?}");
        assert!(!said.errors.contains(SECRET), "{said:?}");
    }
}

#[test]
fn no_password_shows_in_what_is_printed_and_the_rest_does() {
    let home = Home::new();
    let url = "redis://tidings:hunter2@localhost:7000/3";
    let file = home.write("t.toml", &format!("redis = '{url}'\nredis-wait = 1\n"));
    let said = home.run(&["config", "print", "--config", text(&file)]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!said.output.contains(SECRET), "{said:?}");
    let line = said.output.lines().find(|line| line.starts_with("# redis is set")).unwrap();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(line, format!("# redis is set, and not shown # {}:1", file.display()));
    assert!(said.output.contains("\nredis-wait = 1 "), "{said:?}");
    assert!(said.output.contains("\nredis-prefix = \"tidings\" "), "{said:?}");
    for arguments in
        [&["config", "print"][..], &["serve", "--help"], &["--help"], &["man", "serve"]]
    {
        let said = Said::from(home.command(arguments).env("TIDINGS_REDIS", url).output().unwrap());
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        assert!(!said.output.contains(SECRET) && !said.errors.contains(SECRET), "{arguments:?}");
    }
    let unset = home.run(&["config", "print"]);
    assert!(unset.output.contains("# redis is not set "), "{unset:?}");
}

#[test]
fn what_a_reload_finds_changed_needs_a_restart_and_no_password_is_in_the_log() {
    let home = Home::new();
    let file = home.write("t.toml", "listen = ['127.0.0.1:0']\nworkers = 1\n");
    let server =
        Server::started(home.command(&["serve", "--config", text(&file)]).spawn().unwrap());
    let path = file.display();
    home.write(
        "t.toml",
        "listen = ['127.0.0.1:0']\nworkers = 1\nredis = 'redis://:hunter2@localhost'\nredis-wait = 1\n",
    );
    server.signal("-HUP");
    server.await_log(&format!(
        "reload: redis: not set (default) -> not shown ({path}:3) needs a restart"
    ));
    server.await_log(&format!("reload: redis-wait: 0 (default) -> 1 ({path}:4) needs a restart"));
    server.await_log("reload: 0 changed, 2 need a restart");
    home.write("t.toml", "listen = ['127.0.0.1:0']\nworkers = 1\nredis = 'redis://:hunter2@:1'\n");
    server.signal("-HUP");
    server.await_log(&format!("host number 1: it is a name, an IPv4 address, or an IPv6 address in brackets (redis: {path}:3)"));
    server.terminate();
    let log = server.log_to_its_end(PATIENCE);
    assert!(log.iter().any(|line| line.contains("reload: nothing is changed")), "{log:?}");
    assert!(!log.iter().any(|line| line.contains(SECRET)), "{log:?}");
}

#[test]
fn messages_that_are_too_large_for_what_was_agreed_with_redis_need_a_restart() {
    let home = Home::new();
    let settings = "listen = ['127.0.0.1:0']\nworkers = 1\nredis = 'redis://127.0.0.1:1'\n";
    let file = home.write("t.toml", settings);
    let server =
        Server::started(home.command(&["serve", "--config", text(&file)]).spawn().unwrap());
    home.write("t.toml", &format!("{settings}body-bytes-max = '16M'\n"));
    server.signal("-HUP");
    server.await_log("reload: 1 changed, 0 need a restart");
    home.write("t.toml", &format!("{settings}body-bytes-max = '17M'\n"));
    server.signal("-HUP");
    server.await_log("reload: with --redis, messages of more than 16777216 bytes need a restart");
    server.await_log("reload: nothing is changed");
}

#[test]
fn settings_that_mean_nothing_without_redis_are_told() {
    let home = Home::new();
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--workers", "1", "--redis-prefix", "chat"];
    let server = Server::started(home.command(&arguments).spawn().unwrap());
    let warning = "--redis-prefix means nothing without --redis (redis-prefix: flag)";
    assert!(server.said_first.contains(warning), "{}", server.said_first);
}
