//! Clients that mean harm, or are many: they get their own connections ended, and a scrape is answered beside them.

use super::*;

/// A scrape succeeds within this, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(60);

async fn scrape(address: SocketAddr) {
    let (code, body) =
        tokio::time::timeout(LIMIT, get(address, "/metrics")).await.expect("a scrape is answered");
    assert_eq!(code, 200);
    assert!(body.contains("state_watchdog_anomalies_total"));
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn two_hundred_slow_clients_give_way_to_a_scrape() {
    let (address, _shared) = served().await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:").await.unwrap();
        slow.push(stream);
    }
    scrape(address).await;
    // Half a head every now and then keeps no place either.
    let drip = async {
        loop {
            for stream in &mut slow {
                // It may be closed already.
                let _ = stream.write_all(b"x").await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = drip => unreachable!("it drips for ever"),
        () = scrape(address) => {}
    }
}

#[tokio::test]
async fn two_hundred_clients_at_once_are_all_answered() {
    let (address, _shared) = served().await;
    let clients: Vec<_> = (0..200).map(|_| tokio::spawn(scrape(address))).collect();
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn huge_heads_are_refused() {
    let (address, _shared) = served().await;
    let many = (0..2_000).map(|i| format!("X-{i}: y\r\n")).collect::<String>();
    for head in [
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET / HTTP/1.1\r\n{many}\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close before it took everything, and then the answer may be lost on the way.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("it is closed");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    scrape(address).await;
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_their_order() {
    let (address, _shared) = served().await;
    let row = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500)
        + "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = tokio::time::timeout(LIMIT, ask(address, &row)).await.unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 500);
    assert!(answer.ends_with("not ready\n"), "{}", &answer[answer.len() - 200..]);
}

#[tokio::test]
async fn clients_that_take_no_answer_cost_no_memory() {
    let (address, shared) = served().await;
    for _ in 0..Recent::MAX {
        shared.recent().push(&format!("\"{}\"", "x".repeat(8 << 10)));
    }
    scrape(address).await;
    let before = resident();
    let mut lazy = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /findings?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        // The beginning is there, so the whole answer is under way.
        let mut first = [0; 17];
        stream.read_exact(&mut first).await.unwrap();
        lazy.push(stream);
    }
    scrape(address).await;
    // Forty copies of 4 MiB would be 160, for as long as the clients are there. What other tests of this process hold
    // beside them, they give back.
    let (deadline, grown) = (tokio::time::Instant::now() + LIMIT, || resident().saturating_sub(before));
    while grown() >= 32 << 20 {
        assert!(tokio::time::Instant::now() < deadline, "{} bytes more", grown());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let whole = get(address, "/findings?limit=500").await.1;
    assert_eq!(serde_json::from_str::<Vec<String>>(&whole).unwrap().len(), Recent::MAX);
}
