use proptest::prelude::*;

use super::*;

fn hide(args: &[&str]) -> Vec<String> {
    let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    redact(&mut args, false);
    args
}

#[test]
fn secrets_are_hidden_and_the_rest_stays() {
    for (args, expected) in [
        (&["app", "--password", "hunter2", "run"][..], &["app", "--password", "***", "run"][..]),
        (&["app", "--password=hunter2", "run"], &["app", "--password=***", "run"]),
        (&["app", "-password", "hunter2"], &["app", "-password", "***"]),
        (&["app", "-token=hunter2"], &["app", "-token=***"]),
        (
            &["app", "--api-key", "hunter2", "--token", "hunter2"],
            &["app", "--api-key", "***", "--token", "***"],
        ),
        (&["app", "--password", "two words hunter2"], &["app", "--password", "***"]),
        (&["app", "--password=two words hunter2"], &["app", "--password=***"]),
        (&["app", "--password", "--token", "hunter2"], &["app", "--password", "***", "***"]),
        (&["app", "--password", "-hunter2"], &["app", "--password", "***"]),
        (&["app", "--password"], &["app", "--password"]),
        (&["env", "FOO=hunter2", "app"], &["env", "FOO=***", "app"]),
        (&["env", "FOO=some hunter2", "app"], &["env", "FOO=***", "app"]),
        (&["env", "FOO=", "app"], &["env", "FOO=", "app"]),
        (
            &["docker", "run", "-e", "A=hunter2", "-eB=hunter2", "--env=C=hunter2"],
            &["docker", "run", "-e", "A=***", "-eB=***", "--env=C=***"],
        ),
        (&["java", "-Dapp.password=hunter2", "-Xmx1g"], &["java", "-Dapp.password=***", "-Xmx1g"]),
        (
            &["curl", "-u", "alice:hunter2", "-ualice:hunter2", "--user=alice:hunter2"],
            &["curl", "-u", "alice:***", "-ualice:***", "--user=alice:***"],
        ),
        (&["curl", "-H", "Authorization: Bearer hunter2"], &["curl", "-H", "Authorization:***"]),
        (
            &["curl", "-d", r#"{"user":"alice","password":"hun ter2","a":1}"#],
            &["curl", "-d", r#"{"user":"alice","password":***"#],
        ),
        (
            &["app", "postgres://alice:hunter2@db:5432/x?sslmode=on"],
            &["app", "postgres://alice:***@db:5432/x?sslmode=on"],
        ),
        (&["app", "--db=redis://:hunter/2@db"], &["app", "--db=redis://:***@db"]),
        (&["git", "clone", "https://hunter2@git.example/x"], &["git", "clone", "https://***@git.example/x"]),
        (
            &["app", "https://h/x?a=1&access_token=hunter2&b=2#key=hunter2"],
            &["app", "https://h/x?a=1&access_token=***&b=***"],
        ),
        (&["app", "amqp://a:hunter2@h1,amqp://b:hunter2@h2"], &["app", "amqp://a:***@h2"]),
        (&["app", "alice:hunter2@tcp(db:3306)/x"], &["app", "alice:***@tcp(db:3306)/x"]),
        (&["mysql", "-phunter2", "-u", "root"], &["mysql", "-p***", "-u", "root"]),
        (&["/usr/bin/mysqladmin", "-p", "hunter2", "ping"], &["/usr/bin/mysqladmin", "-p", "***", "ping"]),
        (&["redis-cli", "-a", "hunter2", "ping"], &["redis-cli", "-a", "***", "ping"]),
        (&["app", "-p", "hunter2"], &["app", "-p", "***"]),
        (&["sshpass", "-p", "1234", "ssh", "h"], &["sshpass", "-p", "***", "ssh", "h"]),
        (&["docker", "login", "-p", "1234"], &["docker", "login", "-p", "***"]),
        (&["openssl", "rsa", "-passin", "pass:hunter2"], &["openssl", "rsa", "-passin", "pass:***"]),
        (
            &["sh", "-c", "mysql --password=hunter2 -u root; export X='hunter2 hunter2'; ls"],
            &["sh", "-c", "mysql --password=*** -u root; export X=***; ls"],
        ),
        (
            &["sh", "-c", "exec app --token hunter2 --listen :80"],
            &["sh", "-c", "exec app --token *** --listen :80"],
        ),
        (
            &["sh", "-c", "curl -H \"X-Api-Key: hunter2\" https://h/"],
            &["sh", "-c", "curl -H \"X-Api-Key:***"],
        ),
    ] {
        let hidden = hide(args);
        assert_eq!(hidden, expected, "{args:?}");
        let again: Vec<&str> = hidden.iter().map(String::as_str).collect();
        assert_eq!(hide(&again), hidden, "again");
    }
}

#[test]
fn what_runtimes_are_called_with_stays_readable() {
    for args in [
        &[
            "runc",
            "--root",
            "/run/containerd/runc/k8s.io",
            "--log",
            "/x/log.json",
            "--log-format",
            "json",
            "exec",
            "--process",
            "/tmp/runc-process1",
            "--detach",
            "--pid-file",
            "/x/1.pid",
            "abc",
        ][..],
        &["runc", "exec", "-p", "/tmp/process.json", "-u", "0:0", "abc"],
        &[
            "containerd-shim-runc-v2",
            "-namespace",
            "k8s.io",
            "-id",
            "abc",
            "-address",
            "/run/containerd/containerd.sock",
        ],
        &[
            "conmon",
            "-b",
            "/run/x",
            "-c",
            "abc",
            "--exit-dir",
            "/run/exits",
            "-l",
            "k8s-file:/x.log",
            "--log-level",
            "info",
        ],
        &["kubelet", "--kubeconfig=/etc/kubernetes/kubelet.conf", "--node-ip=10.0.0.7", "--v=2"],
        &["ssh", "-p", "22", "git@github.com:org/repo"],
        &["podman", "run", "registry.example:5000/app:1.2@sha256:0123", "--publish", "8080:80"],
        &["app", "http://10.0.0.7:8080/path@x", "--url=https://h/x?a=1"],
        &["sh", "-c", "cat < state.json | jq '.id'"],
        &["app", "", "-", "--", "-v"],
    ] {
        assert_eq!(hide(args), args);
    }
}

proptest! {
    #[test]
    fn any_arguments_are_redacted_once_and_keep_their_number(args in proptest::collection::vec("\\PC{0,40}", 0..6)) {
        let mut once = args.clone();
        redact(&mut once, true);
        prop_assert_eq!(once.len(), args.len());
    }

    #[test]
    fn a_secret_never_stays_wherever_it_is_put(
        before in proptest::collection::vec("[a-z./-]{0,12}", 0..4),
        option in prop::sample::select(vec!["--password", "--token", "--api-key", "-secret", "--client-secret"]),
        joined in any::<bool>(),
        in_shell in any::<bool>(),
    ) {
        let mut args: Vec<String> = before;
        if joined { args.push(format!("{option}=Hunter2")) } else { args.extend([option.to_owned(), "Hunter2".to_owned()]) }
        if in_shell { args = vec!["sh".to_owned(), "-c".to_owned(), args.join(" ")] }
        redact(&mut args, false);
        prop_assert!(!args.concat().contains("Hunter2"), "{args:?}");
    }
}
