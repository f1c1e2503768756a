//! `hig watch`, asked over a socket as a browser asks.

mod common;

use common::hig;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that ends with the test.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn of(run: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hig"))
            .args(["watch", "--no-open"])
            .args(options)
            .arg(run)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let (_, rest) = line.split_once("http://").expect(&line);
        let address = rest.split_once('/').unwrap().0.parse().unwrap();
        Self { child, address }
    }

    /// Sends a request and gives what comes back, without its end if it has none.
    fn send(&self, head: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = head.replace("{host}", &self.address.to_string());
        stream.write_all(head.as_bytes()).unwrap();
        BufReader::new(stream)
    }

    /// Status line and headers, and the body.
    fn ask(&self, head: &str) -> (String, String) {
        let mut answer = String::new();
        self.send(head).read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }

    fn get(&self, path: &str) -> (String, String) {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n"
        ))
    }

    fn data(&self) -> Value {
        let (head, body) = self.get("/data");
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        serde_json::from_str(&body).unwrap()
    }

    #[cfg(unix)]
    fn signal(mut self, name: &str) -> ExitStatus {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(kill.success());
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next document among the events.
fn next_data(events: &mut impl BufRead) -> Value {
    loop {
        let mut line = String::new();
        assert!(
            events.read_line(&mut line).unwrap() > 0,
            "the events have ended"
        );
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

fn write_run(run: &Path, rows: usize) {
    fs::create_dir_all(run.join("hig")).unwrap();
    let mut text = "update,epoch,seconds,train_loss,test_loss\n".to_owned();
    (0..rows).for_each(|k| text += &format!("{k},0,{k},1.0,2.0\n"));
    fs::write(run.join("hig/metrics.csv"), text).unwrap();
}

fn updates(data: &Value) -> usize {
    let updates = &data["runs"][0]["methods"][0]["metrics"]["update"];
    updates.as_array().unwrap().len()
}

#[test]
fn the_page_and_its_data_are_served_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("toy");
    write_run(&run, 3);
    let server = Server::of(&run, &["--port", "0"]);
    let (head, page) = server.get("/");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    for header in [
        "content-type: text/html; charset=utf-8",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "frame-ancestors 'none'",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    assert!(!head.contains("unsafe-inline"), "{head}");
    assert!(page.contains("id=\"data\">null</script>"), "{page}");

    let data = server.data();
    assert_eq!(data["live"], true);
    assert_eq!(data["runs"][0]["name"], "toy");
    assert_eq!(updates(&data), 3);
    // What is on disk now, not what was there at the start.
    write_run(&run, 4);
    assert_eq!(updates(&server.data()), 4);

    for path in [
        "/data/",
        "/../Cargo.toml",
        "/etc/passwd",
        "/index.html",
        "//",
    ] {
        let (head, _) = server.get(path);
        assert!(head.starts_with("http/1.1 404"), "{path}: {head}");
    }
    let (head, _) = server.ask("POST /data HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert!(
        head.starts_with("http/1.1 405") && head.contains("allow: get, head"),
        "{head}"
    );
    let (head, body) = server.ask("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert!(
        head.starts_with("http/1.1 200") && body.is_empty(),
        "{head}"
    );
}

#[test]
fn a_page_that_came_here_by_another_name_learns_nothing() {
    let folder = TempDir::new().unwrap();
    write_run(&folder.path().join("secret-run"), 1);
    let server = Server::of(folder.path(), &["--port", "0"]);
    let port = server.address.port();
    for host in [
        "example.org".to_owned(),
        format!("example.org:{port}"),
        "127.0.0.1:1".into(),
    ] {
        for path in ["/", "/data", "/events"] {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let (head, body) = server.ask(&request);
            assert!(head.starts_with("http/1.1 403"), "{host}: {head}");
            assert!(!body.contains("secret-run"), "{body}");
        }
    }
    let (head, _) = server.ask("GET /data HTTP/1.0\r\n\r\n");
    assert!(head.contains(" 403 "), "{head}");
    let (head, _) = server.ask(&format!(
        "GET /data HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    ));
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[test]
fn nonsense_does_not_end_the_server() {
    let folder = TempDir::new().unwrap();
    let server = Server::of(folder.path(), &["--port", "0"]);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    for text in ["\0\0\0", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", &long] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(server.data()["runs"], Value::Array(vec![]));
}

#[test]
fn many_who_ask_share_two_readings_a_second() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("toy");
    write_run(&run, 3);
    let server = Server::of(&run, &["--port", "0"]);
    server.data();
    let end = Instant::now() + Duration::from_secs(2);
    let asking = || {
        let mut answers = 0;
        while Instant::now() < end {
            server.data();
            answers += 1;
        }
        answers
    };
    let answers: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(asking)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(
        answers.iter().all(|count| (1..=5).contains(count)),
        "{answers:?}"
    );
}

#[test]
fn streams_that_nobody_reads_keep_nobody_out() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("toy");
    write_run(&run, 3);
    let server = Server::of(&run, &["--port", "0"]);
    let silent = "GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n";
    let streams: Vec<_> = (0..100).map(|_| server.send(silent)).collect();
    assert_eq!(updates(&server.data()), 3);
    let mut events = server.send(silent);
    assert_eq!(updates(&next_data(&mut events)), 3);
    drop(streams);
}

#[test]
fn events_bring_a_run_that_begins_later_and_only_what_changes() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("not-there-yet");
    let server = Server::of(&runs, &["--port", "0"]);
    let mut events = server.send("GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        events.read_line(&mut head).unwrap();
    }
    assert!(head.contains("text/event-stream"), "{head}");
    assert_eq!(next_data(&mut events)["runs"], Value::Array(vec![]));
    write_run(&runs.join("one"), 2);
    let data = next_data(&mut events);
    assert_eq!(data["runs"][0]["name"], "one");
    assert_eq!(updates(&data), 2);
    write_run(&runs.join("two"), 5);
    // A folder may be seen between its creation and its rows.
    loop {
        let data = next_data(&mut events);
        assert_eq!(data["runs"].as_array().unwrap().len(), 1, "{data}");
        assert_eq!(data["runs"][0]["name"], "two");
        if updates(&data) == 5 {
            break;
        }
    }
    assert_eq!(server.data()["runs"].as_array().unwrap().len(), 2);
    // Without changes, a sign of life within a few seconds.
    let mut line = String::new();
    while !line.ends_with(":\n") {
        line.clear();
        assert!(events.read_line(&mut line).unwrap() > 0);
    }
}

#[test]
fn a_watched_run_goes_on_to_its_end_and_is_seen_to_run() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("toy");
    let server = Server::of(&run, &["--port", "0"]);
    let mut training = Command::new(env!("CARGO_BIN_EXE_hig"))
        .args([
            "run",
            "toy",
            "--method",
            "hig",
            "--seconds",
            "3",
            "--quiet",
            "--out",
        ])
        .arg(&run)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut events = server.send("GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "finished") {
        let data = next_data(&mut events);
        let state = data["runs"][0]["methods"][0]["state"].clone();
        if !state.is_null() && states.last() != Some(&state) {
            states.push(state);
        }
    }
    assert!(states.contains(&"running".into()), "{states:?}");
    assert!(!states.contains(&"interrupted".into()), "{states:?}");
    drop(server);
    assert!(training.wait().unwrap().success());
    let outcome = fs::read_to_string(run.join("hig/outcome.toml")).unwrap();
    assert!(outcome.contains("ended = \"budget\""), "{outcome}");
}

#[test]
#[cfg(unix)]
fn signals_end_the_server_without_an_error() {
    let folder = TempDir::new().unwrap();
    for name in ["-INT", "-TERM"] {
        let server = Server::of(folder.path(), &["--port", "0"]);
        let _open = server.send("GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(server.signal(name).code(), Some(0), "{name}");
    }
}

#[test]
fn a_port_that_is_taken_and_a_file_are_refused() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refusal = |arguments: &[&str], path: &Path| {
        let output = hig(arguments).arg(path).assert().code(2);
        String::from_utf8(output.get_output().stderr.clone()).unwrap()
    };
    let told = refusal(&["watch", "--port", &port], folder.path());
    assert!(
        told.contains(&format!("--port {port}: another program")),
        "{told}"
    );
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let told = refusal(&["watch"], &file);
    assert!(told.contains("it is a file"), "{told}");
    // 192.0.2.0/24 is for documentation; no machine has such an address.
    let told = refusal(&["watch", "--address", "192.0.2.1"], folder.path());
    assert!(told.contains("--address 192.0.2.1"), "{told}");
}
