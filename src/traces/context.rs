//! W3C Trace Context: which trace a request belongs to. Pure.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::fields::only;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What a `traceparent` says (W3C Trace Context section 3.2).
struct Parent<'a> {
    trace: &'a str,
    span: &'a str,
    flags: u8,
}

/// The span that a request comes from. `None` where `traceparent` is missing, malformed or there more than once.
pub fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    let Parent { trace, span, flags } = parse(only(headers, &TRACEPARENT).ok()??)?;
    let states: Vec<&str> = headers.get_all(&TRACESTATE).iter().flat_map(|line| line.to_str()).collect();
    Some(SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
        true,
        // One that cannot be read is passed on all the same: only the exported span lacks it.
        states.join(",").parse::<TraceState>().unwrap_or_default(),
    ))
}

/// The trace of a `traceparent`; `None` where it is malformed.
pub fn trace_id(traceparent: &HeaderValue) -> Option<&str> {
    parse(traceparent).map(|parent| parent.trace)
}

/// Writes `traceparent` for the requests of a span. The vendors' `tracestate` stays, unless its trace ends here.
pub fn traceparent(headers: &mut HeaderMap, span: &SpanContext, continues: bool) {
    let flags = span.trace_flags().to_u8();
    let text = format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id());
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(TRACEPARENT.clone(), value);
    }
    if !continues && let http::header::Entry::Occupied(entry) = headers.entry(TRACESTATE.clone()) {
        entry.remove_entry_mult();
    }
}

fn parse(value: &HeaderValue) -> Option<Parent<'_>> {
    let mut parts = value.to_str().ok()?.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part: &str, length| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let is_valid = is_hex(version, 2)
        && version != "ff"
        && is_id(trace, 32)
        && is_id(span, 16)
        && is_hex(flags, 2)
        // Later versions may have more parts.
        && (version != "00" || parts.next().is_none());
    let flags = u8::from_str_radix(flags, 16).ok()?;
    is_valid.then_some(Parent { trace, span, flags })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn headers(parents: &[&str], states: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(TRACEPARENT.clone(), HeaderValue::from_str(parent).unwrap());
        }
        for state in states {
            headers.append(TRACESTATE.clone(), HeaderValue::from_str(state).unwrap());
        }
        headers
    }

    #[test]
    fn a_trace_goes_on_with_its_flag_and_its_state() {
        for (flags, sampled) in [("00", false), ("01", true), ("03", true), ("02", false)] {
            let line = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            let context = parent(&headers(&[&line], &["a=1", "b=2"])).unwrap();
            assert_eq!(context.trace_id().to_string(), TRACE);
            assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
            assert_eq!((context.is_sampled(), context.is_remote()), (sampled, true));
            assert_eq!(context.trace_state().header(), "a=1,b=2");
        }
        assert!(parent(&headers(&[&format!("cc-{TRACE}-00f067aa0ba902b7-01-more")], &[])).is_some());
        assert!(parent(&headers(&[&format!("00-{TRACE}-00f067aa0ba902b7-01")], &["not a state"])).is_some());
    }

    #[test]
    fn what_is_malformed_begins_a_new_trace() {
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert!(parent(&headers(&[&good, &good], &[])).is_none());
        for line in [
            "",
            "00",
            &good.to_uppercase(),
            &format!("{good}-more"),
            &good.replace("00-4", "ff-4"),
            &good.replace(TRACE, &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &good.replace("-01", "-1"),
            &good.replace("-01", "-0g"),
        ] {
            assert!(parent(&headers(&[line], &[])).is_none(), "{line}");
        }
    }

    #[test]
    fn what_is_sent_on_names_the_span_and_drops_the_state_of_another_trace() {
        for continues in [true, false] {
            let mut headers = headers(&["old", "old too"], &["a=1"]);
            let span = SpanContext::new(
                TraceId::from_hex(TRACE).unwrap(),
                SpanId::from_hex("00f067aa0ba902b7").unwrap(),
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            );
            traceparent(&mut headers, &span, continues);
            let lines: Vec<_> = headers.get_all(&TRACEPARENT).iter().collect();
            assert_eq!(lines, [&format!("00-{TRACE}-00f067aa0ba902b7-01")]);
            assert_eq!(headers.contains_key(&TRACESTATE), continues);
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "[ -~]{0,80}") {
            let _ = parent(&headers(&[&line], &[]));
        }
    }
}
