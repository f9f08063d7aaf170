//! The whole of loading: real files, an invented environment, flags.

mod contract;
mod discovery;
mod errors;
mod files;
mod forward_proxy;
mod grants;
mod layers;
mod profile_errors;
mod profiles;

use std::{ffi::OsString, path::PathBuf};

use super::{options::Entry, *};

/// What a test sets; mostly starts with the two values that nobody can leave out.
struct Given {
    flags: Vec<(&'static Entry, OsString)>,
    environment: Vec<(OsString, OsString)>,
    file: Option<String>,
    directory: tempfile::TempDir,
}

impl Given {
    fn nothing() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { flags: Vec::new(), environment: Vec::new(), file: None, directory }
    }

    fn credentials() -> Self {
        Self::nothing().variable("CXONE_CLIENT_ID", "app").variable("CXONE_CLIENT_SECRET", "s3cr3t")
    }

    fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, entry: &'static Entry, value: impl Into<OsString>) -> Self {
        self.flags.push((entry, value.into()));
        self
    }

    fn file(mut self, text: &str) -> Self {
        self.file = Some(text.to_owned());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn with_file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.path(name), content).unwrap();
        self
    }

    fn load(self) -> Result<Loaded, ConfigError> {
        let path = self.path("cxone-proxy.toml");
        let config = self.file.as_ref().map(|text| {
            std::fs::write(&path, text).unwrap();
            path.clone().into()
        });
        let environment: Environment = self.environment.into_iter().collect();
        load(&Flags { config, values: self.flags }, &environment)
    }

    fn config(self) -> Config {
        self.load().unwrap().config
    }

    /// Every fault as a line, with the test's own directory left out.
    fn faults(self) -> Vec<String> {
        let directory = format!("{}/", self.path("").display()).replace("//", "/");
        let error = self.load().unwrap_err();
        assert_eq!(error.to_string().lines().count(), error.faults.len());
        error.faults.iter().map(|fault| fault.to_string().replace(&directory, "")).collect()
    }

    fn only_fault(self) -> String {
        let faults = self.faults();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        faults.into_iter().next().unwrap()
    }
}
