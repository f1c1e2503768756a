//! The log: what happens beside the results, on standard error.

use crate::console::terminal::aside;
use crate::run_folder::spans;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Listens to events, warnings and worse unless `verbose` asks for more: 1 for what is done, 2 for its
/// details, 3 for everything, of other crates too.
pub fn listen(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let others = if verbose > 2 {
        level
    } else {
        LevelFilter::WARN
    };
    let targets = Targets::new()
        .with_default(others)
        .with_targets([("hig", level), ("hig_lab", level)])
        // Its spans are for the clock alone.
        .with_target(hig::timing::TARGET, LevelFilter::OFF);
    let ansi =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let log = tracing_subscriber::fmt::layer()
        .with_writer(|| Aside)
        .with_ansi(ansi)
        .event_format(Plain {
            clock: verbose > 0,
            begun: Instant::now(),
        });
    tracing_subscriber::registry()
        .with(spans::layer())
        .with(log.with_filter(targets))
        .init();
}

/// Standard error between the bars. One that is closed or full must not end the work.
struct Aside;

impl Write for Aside {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        aside(|| {
            let _ = io::stderr().write_all(text);
        });
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `warning: text`, and with a clock the seconds since the program began before it.
struct Plain {
    clock: bool,
    begun: Instant,
}

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.clock {
            write!(writer, "{:8.3} ", self.begun.elapsed().as_secs_f64())?;
        }
        let (name, colour) = match *event.metadata().level() {
            Level::ERROR => ("error", 31),
            Level::WARN => ("warning", 33),
            Level::INFO => ("info", 32),
            Level::DEBUG => ("debug", 34),
            Level::TRACE => ("trace", 35),
        };
        if writer.has_ansi_escapes() {
            write!(writer, "\x1b[1;{colour}m{name}:\x1b[0m ")?;
        } else {
            write!(writer, "{name}: ")?;
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
