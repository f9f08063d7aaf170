//! The log: on standard error, as text for people or as one JSON object a line for machines.
//!
//! Ground: everything above says what happened by `tracing`'s macros and knows nothing of this module.
//! What the filter leaves out costs one comparison.

mod fields;
#[cfg(test)]
pub(crate) mod recorder;
mod repeats;

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Registry, fmt::MakeWriter, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

pub use repeats::{Due, Ended, Repeats};

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A filter in `tracing` directive syntax.
    pub filter: String,
    /// The form; `None` is text on a terminal, else JSON.
    pub format: Option<Format>,
    /// True where nothing may be coloured, on a terminal neither.
    pub no_color: bool,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For machines: one flat object a line, whose `message` is the event.
    Json,
}

/// The log cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error("the log filter is not understood")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The process has a log already.
    #[error("the log has been started before")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// So many lines wait for the reader of standard error; more are dropped. A reader that has stopped
/// must not stop the proxy, nor fill its memory.
const WAITING_LINES: usize = 1024;

/// The running log. Dropping it writes out what waits, for a second at most.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct Log {
    _writer: WorkerGuard,
    dropped: ErrorCounter,
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// Logs by this filter from now on.
    pub fn set_filter(&self, filter: &str) -> Result<(), LogError> {
        let filter = EnvFilter::try_new(filter)?;
        // Fails only where the log is gone, and then nobody misses the filter.
        let _ = self.filter.reload(filter);
        Ok(())
    }

    /// Reads how many lines have been dropped because the reader of the log was too slow.
    pub fn dropped_lines(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let dropped = self.dropped.clone();
        move || dropped.dropped_lines() as u64
    }
}

/// Starts the process's log, once, and sends panics there as well. Lines are written by a thread of
/// their own.
pub fn start(settings: &Settings) -> Result<Log, LogError> {
    let on_terminal = io::stderr().is_terminal();
    let by_place = if on_terminal { Format::Text } else { Format::Json };
    let format = settings.format.unwrap_or(by_place);
    let colour = on_terminal && !settings.no_color;
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .lossy(true)
        .thread_name("log")
        .finish(io::stderr());
    let dropped = writer.error_counter();
    let (subscriber, filter) = subscriber(&settings.filter, format, colour, writer)?;
    subscriber.try_init()?;
    log_panics();
    Ok(Log { _writer: guard, dropped, filter })
}

type BoxedSubscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(
    filter: &str,
    format: Format,
    colour: bool,
    writer: W,
) -> Result<(BoxedSubscriber, reload::Handle<EnvFilter, Registry>), tracing_subscriber::filter::ParseError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // A standard error that nobody reads must not turn into a panic, so failed writes go unsaid.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
    let subscriber: BoxedSubscriber = match format {
        Format::Text => {
            let lines = lines.fmt_fields(fields::OneLine).with_ansi(colour);
            Box::new(tracing_subscriber::registry().with(filter).with(lines))
        }
        Format::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false).with_current_span(true);
            Box::new(tracing_subscriber::registry().with(filter).with(lines))
        }
    };
    Ok((subscriber, handle))
}

/// A panic becomes one line of the log instead of several beside it.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let reason = panic.payload_as_str().unwrap_or("no reason given");
        tracing::error!(reason, place, "panicked");
    }));
}

/// An error with its causes, in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own words.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::recorder::Recorder;

    fn lines(filter: &str, format: Format, colour: bool, log: impl FnOnce()) -> String {
        let recorder = Recorder::default();
        let (subscriber, _handle) = subscriber(filter, format, colour, recorder.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        recorder.take()
    }

    fn listening() {
        let span = tracing::info_span!("start", version = "1");
        let _entered = span.enter();
        tracing::info!(proxy = "127.0.0.1:1", admin = %"127.0.0.1:2", "listening");
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let text = lines("info", Format::Json, false, || {
            listening();
            tracing::warn!(reason = "two\nlines", "odd");
        });
        let events: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), 2, "{text}");
        assert_eq!(events[0]["message"], "listening");
        assert_eq!(events[0]["proxy"], "127.0.0.1:1");
        assert_eq!(events[0]["admin"], "127.0.0.1:2");
        assert_eq!(events[0]["level"], "INFO");
        assert_eq!(events[0]["span"]["version"], "1");
        assert!(events[0].get("spans").is_none());
        assert!(events[0]["target"].as_str().unwrap().starts_with("cxone_proxy::log"));
        assert!(events[0]["timestamp"].as_str().unwrap().ends_with('Z'));
        assert_eq!(events[1]["reason"], "two\nlines");
    }

    #[test]
    fn text_is_coloured_only_where_asked() {
        assert!(lines("info", Format::Text, true, listening).contains('\u{1b}'));
        let plain = lines("info", Format::Text, false, listening);
        assert!(!plain.contains('\u{1b}'));
        assert!(plain.contains("listening proxy=\"127.0.0.1:1\" admin=127.0.0.1:2"), "{plain}");
        assert!(!lines("info", Format::Json, true, listening).contains('\u{1b}'));
    }

    #[test]
    fn text_from_elsewhere_stays_on_its_line() {
        for format in [Format::Text, Format::Json] {
            let text = lines("info", format, false, || {
                let span = tracing::info_span!("exchange", path = %"a\nb");
                let _entered = span.enter();
                tracing::info!(reason = %"\u{1b}[2Jx\nforged", plain = "y\n", "asked\rz");
            });
            assert_eq!(text.matches(['\n', '\u{1b}', '\r']).collect::<String>(), "\n", "{text:?}");
            assert!(text.contains("[2Jx") && text.contains("forged"), "{text:?}");
        }
        let text =
            lines("info", Format::Text, false, || tracing::info!(reason = %"\u{1b}x\ny", n = 1, "asked"));
        assert!(text.ends_with(": asked reason=\\u{1b}x\\ny n=1\n"), "{text:?}");
    }

    #[test]
    fn the_filter_decides() {
        for (filter, expected) in [("off", 0), ("error", 1), ("info", 2), ("warn,cxone_proxy=debug", 3)] {
            let text = lines(filter, Format::Json, false, || {
                tracing::error!("a");
                tracing::info!("b");
                tracing::debug!("c");
            });
            assert_eq!(text.lines().count(), expected, "{filter}");
        }
        assert!(subscriber("a=b=c", Format::Text, false, io::sink).is_err());
    }
}
