//! Reads the sources in their order, and hands all values on to be validated.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{
    assembly::{self, Elsewhere},
    environment::Environment,
    error::{ConfigError, Fault},
    file::{self, Contents, ProfileTable},
    files,
    flags::Flags,
    forward_proxy,
    layers::{self, Layers},
    options::{self, CONFIG_VARIABLE, Form},
    settings::Config,
    source::Source,
    traces,
    validation::Validation,
    warning::Warning,
};
use crate::{file as configured_file, log, server::Listen};

/// A configuration, and what should be logged about it once there is a log.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What works but should be looked at.
    pub warnings: Vec<Warning>,
    /// The files that it came from: where one of them changes it is another configuration.
    pub files: Vec<PathBuf>,
}

/// Puts flags, environment, file and defaults together; the first is the strongest.
///
/// Reads the configuration file, the files of secrets and the CA bundle, each once, and opens nothing else.
/// The error holds every fault there is, not the first alone.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, ConfigError> {
    let mut faults = Vec::new();
    let mut levels = vec![flags.read(&mut faults), environment.read(&mut faults)];
    let Contents { found, profiles, rate_limits } = read_file(flags, environment, &mut faults);
    levels.extend([found, layers::defaults()]);
    let layers = Layers(levels);
    let files = files_of(config_path(flags, environment).map(|(path, _)| path), &layers, &profiles);
    let mut warnings = Vec::new();
    let (forward_proxy, names) = forward_proxy::read(environment, &mut faults, &mut warnings);
    let traces = traces::read(environment, &mut faults);
    let elsewhere = Elsewhere { forward_proxy, traces, no_color: environment.no_color() };
    let mut validation = Validation::new(&layers, faults);
    validation.warnings = warnings;
    validation.forward_proxy_names = names;
    let built = assembly::config(validation, (&profiles, &rate_limits), elsewhere);
    match built {
        Ok((config, warnings)) => Ok(Loaded { config, warnings, files }),
        Err(error) => Err(ConfigError { files, ..error }),
    }
}

/// What is logged and how, for commands that need no upstream: nothing else is read or validated.
pub fn load_log(flags: &Flags, environment: &Environment) -> Result<log::Settings, ConfigError> {
    let names = [options::LOG.variable, options::LOG_FORMAT.variable];
    let mut faults = Vec::new();
    let layers = Layers(vec![
        flags.read(&mut faults),
        environment.only(&names).read(&mut faults),
        Vec::new(),
        layers::defaults(),
    ]);
    assembly::log_alone(Validation::new(&layers, faults), environment.no_color())
}

/// Where the admin pages are, for the command that asks them; `None` where they are off. The whole file is
/// read, but of its values, as of the environment's, this one alone is validated.
pub fn load_admin(flags: &Flags, environment: &Environment) -> Result<Option<Listen>, ConfigError> {
    let mut faults = Vec::new();
    let layers = Layers(vec![
        flags.read(&mut faults),
        environment.only(&[options::ADMIN_LISTEN.variable]).read(&mut faults),
        read_file(flags, environment, &mut faults).found,
        layers::defaults(),
    ]);
    assembly::admin_alone(Validation::new(&layers, faults))
}

fn read_file(flags: &Flags, environment: &Environment, faults: &mut Vec<Fault>) -> Contents {
    let Some((path, origin)) = config_path(flags, environment) else { return Contents::default() };
    read_named(path, origin, faults)
}

/// The configuration file, and who names it.
fn config_path<'s>(flags: &'s Flags, environment: &'s Environment) -> Option<(&'s OsStr, Source)> {
    let by_flag = flags.config.as_deref().map(|path| (path, Source::Flag("config")));
    by_flag.or_else(|| environment.value(CONFIG_VARIABLE).map(|p| (p, Source::Variable(CONFIG_VARIABLE))))
}

/// All files that the configuration consists of or names.
fn files_of(config: Option<&OsStr>, layers: &Layers, profiles: &[ProfileTable]) -> Vec<PathBuf> {
    let flat = layers.0.iter().flatten();
    let named = flat.chain(profiles.iter().flat_map(|profile| &profile.found));
    let named = named.filter(|found| found.entry.form == Form::File).map(|found| PathBuf::from(&found.text));
    let mut files: Vec<PathBuf> = config.map(PathBuf::from).into_iter().chain(named).collect();
    files.sort_unstable();
    files.dedup();
    files
}

fn read_named(path: &OsStr, origin: Source, faults: &mut Vec<Fault>) -> Contents {
    let path = Path::new(path);
    match configured_file::text(path) {
        Ok(text) => file::read(path, &text, faults),
        Err(error) => {
            let reason = files::unreadable(path, &error);
            faults.push(Fault::Unreadable { path: path.to_owned(), origin, reason });
            Contents::default()
        }
    }
}
