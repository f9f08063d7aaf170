//! `OTEL_EXPORTER_OTLP_ENDPOINT` and what goes with it, as the specification of OpenTelemetry says.

use url::Url;

use super::{environment::Environment, error::Fault};
use crate::invalid::Invalid;
use crate::traces::{Settings, Transport};

const ENDPOINT_FORM: &str = "`http://HOST:PORT` or `https://HOST:PORT` of a collector";
/// The samplers that the SDK has; it would take another word for the first of them.
const SAMPLERS: [&str; 6] = [
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
    "always_on",
    "always_off",
    "traceidratio",
];
const SAMPLER_FORM: &str = "`parentbased_always_on`, `parentbased_always_off`, `parentbased_traceidratio`, `always_on`, `always_off` or \
                            `traceidratio`";
const PROTOCOL_FORM: &str = "`http/protobuf`, `http/json` or `grpc`";

/// Where traces go. `None` where no collector is named, or traces are switched off.
pub(super) fn read(environment: &Environment, faults: &mut Vec<Fault>) -> Option<Settings> {
    let is = |name, wanted: &str| {
        let value = environment.value(name).and_then(|value| value.to_str());
        value.is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let endpoint = first(environment, ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])?;
    let protocol = first(environment, ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
    let transport = match protocol {
        None => Ok(Transport::HttpProtobuf),
        Some((variable, text)) => {
            transport(text).ok_or_else(|| fault(variable, "is none of the protocols", PROTOCOL_FORM))
        }
    };
    faults.extend(sampler_fault(environment));
    let (variable, text) = endpoint;
    let endpoint = url(text).map_err(|unfit| fault(variable, unfit, ENDPOINT_FORM));
    let (endpoint, transport) = match (endpoint, transport) {
        (Ok(endpoint), Ok(transport)) => (endpoint, transport),
        (endpoint, transport) => {
            faults.extend([endpoint.err(), transport.err()].into_iter().flatten());
            return None;
        }
    };
    if transport == Transport::Grpc && endpoint.scheme() == "https" {
        faults.push(fault(
            variable,
            "begins with `https://`, which this program does not speak to a collector over gRPC",
            "`http://HOST:4317`, or `OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf` with `https://HOST:4318`",
        ));
        return None;
    }
    Some(Settings { endpoint, variable, transport })
}

/// Too many spans cost money, and too few hide what is looked for: nothing is assumed.
fn sampler_fault(environment: &Environment) -> Option<Fault> {
    let (sampler, argument) = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG");
    let text = |name| environment.value(name).map(|value| value.to_str().unwrap_or_default());
    let word = text(sampler)?;
    if !SAMPLERS.contains(&word) {
        return Some(fault(sampler, "is none of the samplers", SAMPLER_FORM));
    }
    let ratio = text(argument).and_then(|text| text.parse::<f64>().ok());
    let fits = !word.ends_with("ratio") || ratio.is_some_and(|ratio| (0.0..=1.0).contains(&ratio));
    (!fits).then(|| {
        fault(argument, "is no ratio, which this sampler needs", "a number from 0 to 1, such as `0.1`")
    })
}

/// The first of these variables that is set. One that is no text is given as one that fits nothing.
fn first<'e>(environment: &'e Environment, names: [&'static str; 2]) -> Option<(&'static str, &'e str)> {
    names.into_iter().find_map(|name| {
        let value = environment.value(name)?;
        Some((name, value.to_str().unwrap_or("\u{fffd}")))
    })
}

fn transport(text: &str) -> Option<Transport> {
    match text {
        "http/protobuf" => Some(Transport::HttpProtobuf),
        "http/json" => Some(Transport::HttpJson),
        "grpc" => Some(Transport::Grpc),
        _ => None,
    }
}

fn url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err("does not begin with `http://` or `https://`");
    }
    Ok(url)
}

fn fault(variable: &'static str, why: &'static str, accepts: &'static str) -> Fault {
    Fault::Variable { variable, unfit: Invalid::because(why), accepts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(variables: &[(&str, &str)]) -> (Option<Settings>, Vec<String>) {
        let mut faults = Vec::new();
        let settings = read(&variables.iter().copied().collect(), &mut faults);
        (settings, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn traces_are_off_unless_a_collector_is_named() {
        let named = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        for off in [
            &[][..],
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[named, ("OTEL_SDK_DISABLED", "TRUE")],
            &[named, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert_eq!(read_of(off), (None, Vec::new()), "{off:?}");
        }
        let (settings, faults) = read_of(&[named]);
        let settings = settings.unwrap();
        assert_eq!((settings.variable, settings.transport), (named.0, Transport::HttpProtobuf));
        assert_eq!((settings.endpoint.port(), faults.len()), (Some(4318), 0));
    }

    #[test]
    fn the_variables_of_traces_are_stronger() {
        let (settings, _) = read_of(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/v1/traces"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.endpoint.host_str(), Some("traces"));
        assert_eq!(settings.transport, Transport::HttpJson);
    }

    #[test]
    fn what_does_not_fit_is_said_without_the_value() {
        let (settings, faults) = read_of(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "user:secret"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke"),
        ]);
        assert_eq!(settings, None);
        assert_eq!(
            faults,
            [
                "environment variable OTEL_EXPORTER_OTLP_ENDPOINT: does not begin with `http://` or `https://`; \
                 accepted: `http://HOST:PORT` or `https://HOST:PORT` of a collector",
                "environment variable OTEL_EXPORTER_OTLP_PROTOCOL: is none of the protocols; \
                 accepted: `http/protobuf`, `http/json` or `grpc`",
            ]
        );
        assert!(SAMPLERS.iter().all(|sampler| SAMPLER_FORM.contains(sampler)));
        for (sampler, argument, named) in [
            ("tracidratio", "0.1", Some("OTEL_TRACES_SAMPLER: is none")),
            ("traceidratio", "ten", Some("OTEL_TRACES_SAMPLER_ARG: is no ratio")),
            ("parentbased_traceidratio", "1.5", Some("OTEL_TRACES_SAMPLER_ARG: is no ratio")),
            ("parentbased_traceidratio", "0.25", None),
            ("always_off", "", None),
        ] {
            let (_, faults) = read_of(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
                ("OTEL_TRACES_SAMPLER", sampler),
                ("OTEL_TRACES_SAMPLER_ARG", argument),
            ]);
            match named {
                Some(named) => assert!(faults.len() == 1 && faults[0].contains(named), "{faults:?}"),
                None => assert!(faults.is_empty(), "{faults:?}"),
            }
        }
        let (_, faults) = read_of(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ]);
        assert!(faults[0].contains("over gRPC") && faults[0].contains("http/protobuf"), "{faults:?}");
    }
}
