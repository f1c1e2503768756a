//! `hig watch`: a page in the browser that follows runs. It only reads: whatever becomes of it, the
//! run goes on.

mod answer;
mod follow;
mod guard;
mod server;

use crate::console::output::{note, say};
use crate::error::Refused;
use anyhow::{Context, Result};
use clap::{Args, ValueHint};
use follow::Follower;
use guard::Guard;
use server::Site;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::task::Poll;

/// The port that is tried where none is asked for.
const PORT: u16 = 8044;

/// Options of `hig watch`.
#[derive(Debug, Args)]
pub struct WatchOptions {
    /// Folder of a run, or of several; it need not be there yet.
    #[arg(value_name = "RUN", default_value = "runs", value_hint = ValueHint::DirPath)]
    pub run: PathBuf,
    /// Port of the page; 0 is any free one [default: 8044, or any free one].
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// Address that is listened on. Others than this machine's own let the network read the runs.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub address: IpAddr,
    /// Open the page in the browser.
    #[arg(long, overrides_with = "no_open")]
    pub open: bool,
    /// Do not open it; this is the default.
    #[arg(long, overrides_with = "open")]
    pub no_open: bool,
}

/// Runs the command.
pub fn watch(options: &WatchOptions) -> Result<()> {
    let path = &options.run;
    if path.exists() && !path.is_dir() {
        return Err(Refused::because(format_args!(
            "{}: it is a file, expected the folder of a run or of several",
            path.display()
        )));
    }
    let listener = listen(options.address, options.port)?;
    let address = listener.local_addr()?;
    let loopback = address.ip().is_loopback();
    if !loopback {
        tracing::warn!(
            "--address {}: whoever reaches this machine can read the runs",
            options.address
        );
    }
    let site = Site::new(
        Follower::new(path),
        loopback.then(|| Guard::loopback(address.port())),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the server cannot start")?;
    runtime.block_on(async {
        // Whoever reads the address may end the server at once.
        let ended = ended()?;
        let serving = server::serve(listener, Arc::new(site))?;
        tokio::spawn(serving);
        let url = format!("http://{address}/");
        say!("{} at {url} (Ctrl-C ends it)", path.display());
        if crate::run_folder::runs_in(path).is_empty() {
            note!("no run is there yet; the page will show it once it has begun");
        }
        if options.open {
            open(&url);
        }
        ended.await;
        anyhow::Ok(())
    })?;
    // A reading in another thread is not waited for.
    runtime.shutdown_background();
    Ok(())
}

/// Listens on the port that was asked for, or else on the usual one if it is free.
fn listen(address: IpAddr, port: Option<u16>) -> Result<TcpListener> {
    let at = |port| TcpListener::bind(SocketAddr::new(address, port));
    let listener = match port {
        Some(port) => at(port),
        None => at(PORT).or_else(|_| at(0)),
    };
    listener.map_err(|error| {
        let port = port.unwrap_or(PORT);
        Refused::because(match error.kind() {
            ErrorKind::AddrInUse => format!(
                "--port {port}: another program listens there; name another port, or 0 for any \
                 free one"
            ),
            ErrorKind::PermissionDenied => format!(
                "--port {port}: not allowed ({error}); name a port from 1024 on, or 0 for any \
                 free one"
            ),
            _ => format!("--address {address}: cannot be listened on ({error})"),
        })
    })
}

/// Listens from now on for Ctrl-C and SIGTERM, and ends with the first of them.
#[cfg(unix)]
fn ended() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(poll_fn(move |context| {
        let interrupted = interrupt.poll_recv(context).is_ready();
        if interrupted || terminate.poll_recv(context).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    }))
}

/// Ends with Ctrl-C.
#[cfg(not(unix))]
fn ended() -> Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// Opens a page in the user's browser; where there is none, its address has been printed.
fn open(url: &str) {
    let (program, arguments): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else {
        ("xdg-open", &[])
    };
    let started = Command::new(program)
        .args(arguments)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(mut child) => {
            // Without the thread nobody waits for it until the end.
            let _ = std::thread::Builder::new().spawn(move || child.wait());
        }
        Err(error) => tracing::warn!("--open: {program} cannot be started ({error})"),
    }
}
