//! The log: on standard error, as text for people or as one JSON object a line for machines.
//!
//! Ground: everything above says what happened by `tracing`'s macros and knows nothing of this module.
//! What the filter leaves out costs one comparison.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

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

/// Starts the process's log, once, and sends panics there as well.
pub fn start(settings: &Settings) -> Result<(), LogError> {
    let on_terminal = io::stderr().is_terminal();
    let by_place = if on_terminal { Format::Text } else { Format::Json };
    let format = settings.format.unwrap_or(by_place);
    let colour = on_terminal && !settings.no_color;
    subscriber(&settings.filter, format, colour, io::stderr)?.try_init()?;
    log_panics();
    Ok(())
}

fn subscriber<W>(
    filter: &str,
    format: Format,
    colour: bool,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, tracing_subscriber::filter::ParseError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // A standard error that nobody reads must not turn into a panic, so failed writes go unsaid.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    let filter = EnvFilter::try_new(filter)?;
    Ok(match format {
        Format::Text => Box::new(tracing_subscriber::registry().with(filter).with(lines.with_ansi(colour))),
        Format::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false).with_current_span(true);
            Box::new(tracing_subscriber::registry().with(filter).with(lines))
        }
    })
}

/// A panic becomes one line of the log instead of several beside it.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let reason = panic.payload_as_str().unwrap_or("no reason given");
        tracing::error!(reason, place, "panicked");
    }));
}
