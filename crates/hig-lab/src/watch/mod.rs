//! `hig watch`: a page in the browser that follows runs. It only reads: whatever becomes of it, the
//! run goes on.

mod answer;
mod follow;
mod guard;
mod server;

use crate::Refused;
use crate::output::say;
use anyhow::{Context, Result};
use clap::{Args, ValueHint};
use follow::Follower;
use guard::Guard;
use server::Site;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

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
        eprintln!(
            "warning: --address {}: whoever reaches this machine can read the runs",
            options.address
        );
    }
    let url = format!("http://{address}/");
    say!("{} at {url} (Ctrl-C ends it)", path.display());
    if crate::record::runs_in(path).is_empty() {
        eprintln!("no run is there yet; the page will show it once it has begun");
    }
    if options.open {
        open(&url);
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
        let serving = server::serve(listener, Arc::new(site))?;
        tokio::spawn(serving);
        end().await
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

/// Ends with Ctrl-C or SIGTERM.
#[cfg(unix)]
async fn end() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, mut ended) = tokio::sync::mpsc::channel(1);
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let (mut signal, sender) = (signal(kind)?, sender.clone());
        tokio::spawn(async move {
            signal.recv().await;
            sender.send(()).await
        });
    }
    ended.recv().await;
    Ok(())
}

/// Ends with Ctrl-C.
#[cfg(not(unix))]
async fn end() -> Result<()> {
    Ok(tokio::signal::ctrl_c().await?)
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
            std::thread::spawn(move || child.wait());
        }
        Err(error) => eprintln!("warning: --open: {program} cannot be started ({error})"),
    }
}
