//! The real binary: flags, errors, exit codes, `check`, `explain`, and the demo's own curl lines.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs the binary; exit code, standard output, standard error.
fn run(words: &[&str]) -> (i32, String, String) {
    told(Command::new(BINARY).args(words).output().unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

const BINARY: &str = env!("CARGO_BIN_EXE_fairlead");

#[test]
fn what_cannot_be_used_is_one_line_on_stderr_and_exit_2() {
    for (words, part) in [
        (&["serve", "--no-such-flag"][..], "unknown flag --no-such-flag"),
        (&["serve", "-no-such-flag=1"], "unknown flag --no-such-flag"),
        (&["serve", "--http-prot=80"], "did you mean --http-port?"),
        (&["serve", "--manifests", "/no/such/folder"], "/no/such/folder does not exist"),
        (&["serve"], "--manifests PATH is missing"),
        (&["serve", "--manifests", "/tmp", "--workers", "0"], "--workers"),
        (&["serve", "--manifests", "/tmp", "--http-port=0", "--https-port=0"], "nothing would be served"),
        (&["serve", "--http-port"], "--http-port"),
        (&["serve", "stray"], "unknown argument stray"),
        (&["sreve"], "did you mean serve?"),
        (&[], "no command"),
        (&["check"], "PATH"),
        (&["check", "/no/such/folder"], "/no/such/folder does not exist"),
        (&["check", "-o", "xml", "/tmp"], "text, json"),
        (&["check", "--cluster", "/tmp"], "folders only"),
        (&["explain", "a.example", "--manifests", "/tmp"], "http://host/path"),
        (&["explain", "http://a/", "--client-ip", "me"], "--client-ip"),
        (&["explain", "http://a/", "-H", "nonsense"], "NAME: VALUE"),
        (&["routes", "--admin", "nowhere"], "--admin"),
        (&["demo", "--http-port", "x"], "--http-port"),
    ] {
        let (code, out, err) = run(words);
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}: {err}");
        assert!(err.contains(part) && err.lines().count() == 1, "{words:?}: {err}");
    }
}

#[test]
fn help_of_every_command_is_complete_and_version_is_one_line() {
    let (code, top, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for command in ["serve", "demo", "check", "explain", "routes", "backends", "certificates", "problems"] {
        assert!(top.contains(&format!("  {command} ")), "{top}");
        let (code, help, _) = run(&[command, "--help"]);
        assert!(code == 0 && help.contains("Usage: fairlead"), "{command}: {help}");
        assert_eq!(
            run(&[command, "--version"]),
            (0, format!("fairlead {}\n", env!("CARGO_PKG_VERSION")), String::new())
        );
    }
    let (_, help, _) = run(&["serve", "-help"]);
    for flag in fairlead::settings::flags::SERVE {
        assert!(help.contains(&format!("--{}", flag.name)), "{}", flag.name);
    }
}

#[test]
fn the_names_of_the_image_and_of_the_kubectl_plugin_work() {
    let folder = TempDir::new().unwrap();
    let called = |name: &str, words: &[&str]| {
        let path = folder.path().join(name);
        fs::hard_link(BINARY, &path).or_else(|_| fs::copy(BINARY, &path).map(drop)).unwrap();
        told(Command::new(path).args(words).output().unwrap())
    };
    assert_eq!(called("wait-shutdown", &[]), (0, String::new(), String::new()));
    let (code, help, _) = called("kubectl-fairlead", &["routes", "--help"]);
    assert!(code == 0 && help.contains("Usage: kubectl fairlead routes"), "{help}");
}

#[test]
fn an_admin_address_where_nobody_is_fails_with_exit_1() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for command in ["routes", "backends", "certificates", "problems"] {
        let (code, out, err) = run(&[command, "--admin", &free]);
        assert_eq!((code, out.as_str(), err.lines().count()), (1, "", 1), "{command}: {err}");
        assert!(err.contains(&free), "{err}");
    }
}
