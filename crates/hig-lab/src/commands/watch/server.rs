//! The server: the page, its data, and what changes of them.

use super::answer::{Body, answer, refuse, whole};
use super::follow::Follower;
use super::guard::{Guard, policy};
use crate::page;
use anyhow::Result;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_SECURITY_POLICY, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Between two readings of the folder, however many ask.
const PACE: Duration = Duration::from_millis(500);
/// Between two signs of life, without which a browser would not notice that the server has gone.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Connections at once, of which the oldest makes room for another one; a page has two, and comes back.
const CONNECTIONS: usize = 64;

/// What is served.
#[derive(Debug)]
pub struct Site {
    follower: Arc<Follower>,
    guard: Option<Guard>,
    page: Bytes,
    policy: HeaderValue,
    /// The number of the last reading that found something new.
    version: watch::Sender<u64>,
    pace: Mutex<Pace>,
}

/// When the folder was read, and may be read again.
#[derive(Debug)]
struct Pace {
    begun: Option<Instant>,
    due: Instant,
}

impl Site {
    /// Of the runs that are followed. The guard is that of a server on a loopback address.
    pub fn new(follower: Follower, guard: Option<Guard>) -> Self {
        let page = page::page("null");
        let policy = policy(&page).parse().expect("hashes and ASCII words");
        Self {
            follower: Arc::new(follower),
            guard,
            page: page.into(),
            policy,
            version: watch::Sender::new(0),
            pace: Mutex::new(Pace {
                begun: None,
                due: Instant::now(),
            }),
        }
    }

    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        if let Some(guard) = &self.guard {
            let host = request.headers().get(HOST);
            if !host.is_some_and(|h| h.to_str().is_ok_and(|h| guard.admits(h))) {
                let reason = "This server answers to the names of this machine only.\n";
                return refuse(StatusCode::FORBIDDEN, reason);
            }
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "GET only.\n");
        }
        match request.uri().path() {
            "/" => {
                let page = whole(self.page.clone());
                let mut page = answer(StatusCode::OK, "text/html; charset=utf-8", page);
                let headers = page.headers_mut();
                headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
                page
            }
            "/data" => {
                self.refresh().await;
                let (data, _) = self.follower.since(0);
                answer(StatusCode::OK, "application/json", whole(data))
            }
            "/events" if request.method() == Method::GET => {
                let events = Events::of(self).boxed_unsync();
                answer(StatusCode::OK, "text/event-stream", events)
            }
            "/events" => answer(StatusCode::OK, "text/event-stream", whole("")),
            _ => refuse(
                StatusCode::NOT_FOUND,
                "Nothing is here; the page is at /.\n",
            ),
        }
    }

    /// Waits for a reading that begins from now on: at most twice a second and with at most a tenth of a core,
    /// whoever asks and however often.
    async fn refresh(self: &Arc<Self>) {
        let (site, asked) = (self.clone(), Instant::now());
        // In a task of its own, which goes on where the one who asked leaves.
        let reading = tokio::spawn(async move {
            let mut pace = site.pace.lock().await;
            if pace.begun.is_none_or(|begun| begun < asked) {
                sleep_until(pace.due).await;
                let begun = Instant::now();
                pace.begun = Some(begun);
                site.read().await;
                pace.due = Instant::now() + PACE.max(9 * begun.elapsed());
            }
        });
        let _ = reading.await;
    }

    /// Reads what has changed, in a thread of its own: files may be long.
    async fn read(&self) {
        let follower = self.follower.clone();
        let reading = tokio::task::spawn_blocking(move || follower.refresh());
        if let Ok(version) = reading.await {
            self.version.send_if_modified(|last| {
                let newer = version > *last;
                *last = version.max(*last);
                newer
            });
        }
    }
}

/// Starts to follow the runs; what is given back serves as long as it is polled.
pub fn serve(listener: std::net::TcpListener, site: Arc<Site>) -> Result<impl Future<Output = ()>> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tokio::spawn(follow(site.clone()));
    Ok(accept(listener, site))
}

async fn accept(listener: tokio::net::TcpListener, site: Arc<Site>) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, or a connection that has gone: others may come.
            sleep(PACE).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let site = site.clone();
        let connection = tokio::spawn(async move {
            let service = service_fn(move |request| {
                let site = site.clone();
                async move { Ok::<_, Infallible>(site.respond(request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), service);
            // A browser that leaves in the middle is no error.
            let _ = connection.await;
        });
        open.push_back(connection.abort_handle());
    }
}

/// Reads the folder as long as somebody listens.
async fn follow(site: Arc<Site>) {
    loop {
        if site.version.receiver_count() > 0 {
            site.refresh().await;
        }
        sleep(PACE).await;
    }
}

/// The stream of events of one page.
struct Events {
    frames: mpsc::Receiver<String>,
}

impl Events {
    fn of(site: Arc<Site>) -> Self {
        let (sender, frames) = mpsc::channel(1);
        tokio::spawn(tell(site, sender));
        Self { frames }
    }
}

/// First everything, for a page that has come back, then what has changed. A page that reads slowly
/// misses readings and gets what has changed over all of them.
async fn tell(site: Arc<Site>, sender: mpsc::Sender<String>) {
    let mut changes = site.version.subscribe();
    site.refresh().await;
    changes.mark_unchanged();
    let mut seen = 0;
    loop {
        let (data, version) = site.follower.since(seen);
        let event = format!("event: data\ndata: {data}\n\n");
        seen = version;
        if sender.send(event).await.is_err() {
            return;
        }
        while !matches!(timeout(HEARTBEAT, changes.changed()).await, Ok(Ok(()))) {
            if sender.send(":\n\n".to_owned()).await.is_err() {
                return;
            }
        }
    }
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.frames.poll_recv(context);
        next.map(|text| text.map(|text| Ok(Frame::data(text.into()))))
    }
}
