//! Which addresses show which pages, and to which names loopback answers.

use super::super::crowd::Idle;
use super::super::exposure::Reached;
use super::super::server::speak;
use super::*;

/// Asks over a connection that reached `local`, as the server would serve it.
async fn ask_at(local: &str, verified: bool, web: &Arc<Web>, request: &str) -> String {
    let shared = Arc::new(Shared::new(Metrics::new(&[]).unwrap(), Status::starting("cafe".to_owned())));
    let router = super::super::guarded(routes(shared), Arc::clone(web));
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let reached = Some(Reached { address: local.parse().unwrap(), verified });
    let served = tokio::spawn(speak(server, reached, router, Idle::now()));
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = client.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(60), reading).await.unwrap().unwrap();
    served.await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn get_of(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

fn code(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

const PRIVATE: [&str; 4] = ["/", "/findings", "/findings?limit=1", "/status"];
const PUBLIC: [&str; 2] = ["/metrics", "/livez"];

#[tokio::test]
async fn without_a_password_findings_are_shown_on_loopback_alone() {
    let web = Arc::new(Web::open());
    for path in PRIVATE {
        for local in ["10.0.0.7:9737", "[2001:db8::7]:9737", "[::ffff:10.0.0.7]:9737", "[fe80::1]:9737"] {
            let answer = ask_at(local, false, &web, &get_of(path, "10.0.0.7:9737")).await;
            assert_eq!(code(&answer), 403, "{local}{path}: {answer}");
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            assert!(body.ends_with('\n') && body.lines().count() == 1, "one line: {body}");
            for word in ["password", "kubectl port-forward", "9737", "--web-config"] {
                assert!(body.contains(word), "{word} in {body}");
            }
        }
        for local in ["127.0.0.1:9737", "127.0.1.1:9737", "[::1]:9737", "[::ffff:127.0.0.1]:9737"] {
            let answer = ask_at(local, false, &web, &get_of(path, "localhost:8080")).await;
            assert_eq!(code(&answer), 200, "{local}{path}: {answer}");
        }
    }
    for path in PUBLIC {
        let answer = ask_at("10.0.0.7:9737", false, &web, &get_of(path, "any.example")).await;
        assert_eq!(code(&answer), 200, "{path}: {answer}");
    }
    // Neither a method nor a name of this host in the request opens a page.
    for method in ["HEAD", "POST", "OPTIONS"] {
        let request = get_of("/findings", "localhost").replace("GET", method);
        let answer = ask_at("10.0.0.7:9737", false, &web, &request).await;
        assert_eq!(code(&answer), 403, "{method}: {answer}");
    }
}

#[tokio::test]
async fn a_password_or_a_demanded_certificate_opens_every_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    std::fs::write(&file, users("right")).unwrap();
    let web = Arc::new(Web::load(&file).unwrap());
    let (address, host) = ("10.0.0.7:9737", "node.example");
    for path in PRIVATE {
        let answer = ask_at(address, false, &web, &get_of(path, host)).await;
        assert_eq!(code(&answer), 401, "{path}: {answer}");
        let authorized = format!("Authorization: {}\r\nConnection", basic("alice:right"));
        let request = get_of(path, host).replace("Connection", &authorized);
        let answer = ask_at(address, false, &web, &request).await;
        assert_eq!(code(&answer), 200, "{path}: {answer}");
        // The server asked for a certificate when this connection began.
        let answer = ask_at(address, true, &Arc::new(Web::open()), &get_of(path, host)).await;
        assert_eq!(code(&answer), 200, "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_foreign_name_reaches_nothing_on_loopback() {
    let web = Arc::new(Web::open());
    for local in ["127.0.0.1:9737", "[::1]:9737", "[::ffff:127.0.0.1]:9737"] {
        for path in ["/", "/findings", "/status", "/metrics", "/livez", "/nothing"] {
            for host in ["evil.example", "evil.example:9737", "localhost.evil.example", "10.0.0.7", ""] {
                let answer = ask_at(local, false, &web, &get_of(path, host)).await;
                assert_eq!(code(&answer), 421, "{local} {path} {host}: {answer}");
            }
        }
        // An absolute target counts beside Host.
        let with = |target: &str, host: &str| get_of(target, host);
        let answer = ask_at(local, false, &web, &with("http://evil.example/status", "localhost")).await;
        assert_eq!(code(&answer), 421, "{answer}");
        let answer = ask_at(local, false, &web, &with("http://localhost/status", "evil.example")).await;
        assert_eq!(code(&answer), 421, "{answer}");
        let answer = ask_at(local, false, &web, &with("http://localhost:9737/status", "localhost")).await;
        assert_eq!(code(&answer), 200, "{answer}");
        // One Host, unless the client is older than Host is.
        let twice = get_of("/status", "localhost\r\nHost: evil.example");
        assert_eq!(code(&ask_at(local, false, &web, &twice).await), 400);
        let none = "GET /status HTTP/1.1\r\nConnection: close\r\n\r\n";
        assert_eq!(code(&ask_at(local, false, &web, none).await), 400);
        assert_eq!(code(&ask_at(local, false, &web, "GET /status HTTP/1.0\r\n\r\n").await), 200);
    }
}

#[tokio::test]
async fn the_server_knows_the_address_that_was_reached() {
    let (address, _shared) = served().await;
    let answer = ask(address, &get_of("/status", "evil.example")).await;
    assert_eq!(code(&answer), 421, "{answer}");
    let answer = ask(address, &get_of("/status", &address.to_string())).await;
    assert_eq!(code(&answer), 200, "{answer}");
}
