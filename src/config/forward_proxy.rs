//! `HTTPS_PROXY` and `NO_PROXY`, as every program on the machine reads them.

use super::{environment::Environment, error::Fault, warning::Warning};
use crate::invalid::Invalid;
use crate::upstream::{ForwardProxy, NoProxy};

const PROXY_FORM: &str = "`http://HOST:PORT`, perhaps with `USER:PASSWORD@` before the host";
const NO_PROXY_FORM: &str = "host names, IP addresses and networks separated by commas, or `*`";

/// Reads the variables in capitals, else those in lower case. Returns the names that were read as well, by the
/// usual ones.
pub(super) fn read(
    environment: &Environment,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<Warning>,
) -> (ForwardProxy, Vec<(&'static str, String)>) {
    let mut text = |names: [&'static str; 2], accepts| {
        let variable = names.into_iter().find(|name| environment.value(name).is_some())?;
        let text = environment.value(variable)?.to_str();
        if text.is_none() {
            let unfit = Invalid::because("is not valid UTF-8");
            faults.push(Fault::Variable { variable, unfit, accepts });
        }
        text.map(|text| (variable, text))
    };
    let proxy = text(["HTTPS_PROXY", "https_proxy"], PROXY_FORM);
    let exceptions = text(["NO_PROXY", "no_proxy"], NO_PROXY_FORM);
    let https_proxy = proxy.and_then(|(variable, text)| {
        text.parse()
            .map_err(|unfit| faults.push(Fault::Variable { variable, unfit, accepts: PROXY_FORM }))
            .ok()
    });
    let no_proxy = exceptions.map(|(_, text)| NoProxy::from(text)).unwrap_or_default();
    if let Some((variable, _)) = exceptions {
        let unknown = no_proxy.unknown().iter().map(|entry| entry.escape_debug().to_string());
        warnings.extend(unknown.map(|entry| Warning::UnknownNoProxy { variable, entry }));
    }
    let names = [("HTTPS_PROXY", proxy), ("NO_PROXY", exceptions)];
    let names = names.into_iter().filter_map(|(usual, found)| Some((usual, found?.0.to_owned())));
    (ForwardProxy::new(https_proxy, no_proxy), names.collect())
}
