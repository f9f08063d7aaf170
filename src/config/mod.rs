//! The configuration: valid by construction, and errors that name the source of each value.
//!
//! The command line hands its flags and the environment to [`load()`], which puts the file and the defaults
//! below them. The result is a [`Config`] whose values are all parsed and consistent, or every error at
//! once. The environment is read here alone.
//!
//! ```text
//! load -> flags, environment, file   each source, with the source of every value -> layers
//!      |-> forward_proxy, traces       variables that other programs read as well
//!      `-> assembly                  the whole Config
//!            |-> profiles -> upstream, oauth
//!            |-> clients, tls, redis
//!            `-> listeners
//! validation                         parses one option of the table in `options` at a time
//! values, hosts, listen, urls        text in, value out
//! ```

mod arguments;
mod assembly;
mod clients;
mod configured;
mod environment;
mod error;
mod file;
mod files;
mod flags;
mod forward_proxy;
mod layers;
mod listeners;
mod load;
mod oauth;
pub mod options;
mod origins;
mod pace;
mod profiles;
mod rate;
mod redis;
mod reference;
mod schema;
mod settings;
mod source;
mod spelling;
mod tls;
mod traces;
mod upstream;
mod urls;
mod validation;
mod values;
mod warning;

pub use self::{
    environment::Environment,
    error::{Chosen, ConfigError, Fault, Missing},
    flags::Flags,
    load::{Loaded, load, load_admin, load_log},
    reference::markdown_rows,
    schema::schema,
    settings::{Client, Config, Profile, Retry, Upstream},
    source::Source,
    values::positive_duration,
    warning::Warning,
};
/// What shows a configuration to a person.
pub use crate::admin::{ConfiguredValue, configuration_json};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
