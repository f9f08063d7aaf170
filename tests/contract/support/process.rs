//! The built program as a child process, which ends with its handle.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::{eventually, in_time};

/// How the program is to be started: nothing of our own environment reaches it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launch {
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    /// The most files that it may have open.
    open_files: Option<u32>,
}

impl Launch {
    /// `cxone-proxy COMMAND`
    pub(crate) fn of(command: &str) -> Self {
        Self { arguments: vec![command.into()], ..Self::default() }
    }

    #[must_use]
    pub(crate) fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// `--name value`; a later one replaces an earlier one of the same name.
    #[must_use]
    pub(crate) fn flag(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let name = format!("--{name}");
        if let Some(at) = self.arguments.iter().position(|argument| *argument == *name) {
            self.arguments.drain(at..(at + 2).min(self.arguments.len()));
        }
        self.argument(name).argument(value)
    }

    #[must_use]
    pub(crate) fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.retain(|(own, _)| own != name);
        self.variables.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Takes a variable away that was set before.
    #[must_use]
    pub(crate) fn without_variable(mut self, name: &str) -> Self {
        self.variables.retain(|(own, _)| own != name);
        self
    }

    /// The value of a variable that was set before.
    pub(crate) fn value(&self, name: &str) -> Option<&OsStr> {
        self.variables.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_os_str())
    }

    /// Moves the API to `base_url` and leaves the token endpoint where it was.
    #[must_use]
    pub(crate) fn api_at(self, base_url: impl AsRef<OsStr>) -> Self {
        let former = self.value("CXONE_BASE_URL").unwrap();
        let token_url = format!("{}/api/v2/oauth/token", former.display());
        self.variable("CXONE_TOKEN_URL", token_url).variable("CXONE_BASE_URL", base_url)
    }

    /// Limits the files that the program may have open, as `ulimit -n` does.
    #[must_use]
    pub(crate) fn open_files(self, most: u32) -> Self {
        Self { open_files: Some(most), ..self }
    }

    /// Starts the program.
    pub(crate) fn start(&self) -> Process {
        let program = env!("CARGO_BIN_EXE_cxone-proxy");
        let mut command = match self.open_files {
            None => Command::new(program),
            Some(most) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\""), program]);
                shell
            }
        };
        let mut child = command
            .args(&self.arguments)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let unread = Arc::<AtomicBool>::default();
        let reading = tokio::spawn(collect(child.stderr.take().unwrap(), log.clone(), unread.clone()));
        Process { child, log, unread, reading }
    }

    /// Starts the program and waits until it listens.
    pub(crate) async fn listening(&self) -> Process {
        let process = self.start();
        process.event("listening").await;
        process
    }

    /// Runs the program to its end: its status, its standard output, its standard error.
    pub(crate) async fn run(&self) -> (ExitStatus, String, String) {
        let mut process = self.start();
        let output = process.rest_of_output().await;
        let status = process.ended().await;
        in_time("the end of standard error", &mut process.reading).await.unwrap();
        (status, output, process.log().join("\n"))
    }
}

async fn collect(pipe: impl AsyncRead + Unpin, into: Arc<Mutex<Vec<String>>>, unread: Arc<AtomicBool>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        into.lock().unwrap().push(line);
        if unread.load(Ordering::Relaxed) {
            // The pipe stays open, and fills.
            std::future::pending::<()>().await;
        }
    }
}

/// A running program; dropping it kills the program.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    unread: Arc<AtomicBool>,
    reading: JoinHandle<()>,
}

impl Process {
    /// From the next line on nobody reads standard error, though it stays open.
    pub(crate) fn leave_log_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// The lines of standard error so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The lines of standard error so far that are JSON objects.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.log().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first event of that name, once it is there.
    pub(crate) async fn event(&self, name: &str) -> Value {
        // A message may go on after a colon with what is special about this occurrence.
        let is_named = |event: &Value| {
            let message = event["message"].as_str().unwrap_or_default();
            message.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
        };
        eventually(&format!("the event {name:?}"), async || {
            let found = self.events().into_iter().find(is_named);
            assert!(found.is_some() || !self.reading.is_finished(), "ended early: {:#?}", self.log());
            found
        })
        .await
    }

    /// The first warning that contains this text, if there is one. The log's own words may change.
    pub(crate) fn warning_about(&self, text: &str) -> Option<Value> {
        let is_about = |event: &Value| event["level"] == "WARN" && event.to_string().contains(text);
        self.events().into_iter().find(is_about)
    }

    /// Where clients connect, as the log says.
    pub(crate) fn proxy_address(&self) -> SocketAddr {
        self.address("proxy")
    }

    /// Where the admin pages are, as the log says.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.address("admin")
    }

    fn address(&self, field: &str) -> SocketAddr {
        let event = self.events().into_iter().find(|event| event["message"] == "listening").unwrap();
        event[field].as_str().unwrap().parse().unwrap()
    }

    /// The process's number, for signals and `/proc`; `None` once it has ended.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The largest resident size so far, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The same, with its code as large as that of a build for production, which is a third of this one's.
    pub(crate) fn peak_memory_in_production(&self) -> u64 {
        const CODE: u64 = 10 * 1024;
        self.peak_memory() - self.memory("RssFile:") + CODE
    }

    fn memory(&self, name: &str) -> u64 {
        let status = self.proc_file("status").unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> usize {
        self.tasks().len()
    }

    /// Whether one of its threads has this name.
    pub(crate) fn has_thread(&self, name: &str) -> bool {
        let is_named = |task: &OsString| {
            let own = self.proc_file(&format!("task/{}/comm", task.display()));
            own.is_some_and(|own| own.trim_end() == name)
        };
        self.tasks().iter().any(is_named)
    }

    /// The processor time that all threads have used so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        // The first field: nanoseconds on a processor.
        let spent = |task: &OsString| {
            let text = self.proc_file(&format!("task/{}/schedstat", task.display()))?;
            Some(text.split(' ').next().unwrap().parse::<u64>().unwrap())
        };
        Duration::from_nanos(self.tasks().iter().filter_map(spent).sum())
    }

    /// Waits until every thread sleeps, several times in a row: the program has taken in all that it was sent,
    /// and moved all that can move. A thread that only waits for a processor does not count as asleep.
    pub(crate) async fn idle(&self) {
        const LOOKS: usize = 4;
        let mut asleep = 0;
        eventually("an idle program", async || {
            let is_asleep = |task: &OsString| {
                let stat = self.proc_file(&format!("task/{}/stat", task.display()));
                stat.is_none_or(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('S'))
            };
            let all = self.tasks().iter().all(is_asleep);
            asleep = if all { asleep + 1 } else { 0 };
            (asleep == LOOKS).then_some(())
        })
        .await;
    }

    fn tasks(&self) -> Vec<OsString> {
        let path = format!("/proc/{}/task", self.id().unwrap());
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    /// A file of `/proc`; `None` for a thread that has just ended.
    fn proc_file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.id().unwrap())).ok()
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.id().unwrap().try_into().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Standard output up to and with this text; to be asked once.
    pub(crate) async fn output_until(&mut self, end: &str) -> String {
        let mut pipe = self.child.stdout.take().unwrap();
        let mut output = Vec::new();
        loop {
            let count = in_time("standard output", pipe.read_buf(&mut output)).await.unwrap();
            let text = String::from_utf8_lossy(&output);
            if text.contains(end) {
                return text.into_owned();
            }
            assert!(count > 0, "standard output ended: {text}");
        }
    }

    /// Standard output to its end, which is the program's; to be asked once.
    pub(crate) async fn rest_of_output(&mut self) -> String {
        let mut output = String::new();
        let mut pipe = self.child.stdout.take().unwrap();
        in_time("the end of standard output", pipe.read_to_string(&mut output)).await.unwrap();
        output
    }

    /// Waits for the program's end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        in_time("the program's end", self.child.wait()).await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the program's standard error:\n{}\n---", self.log().join("\n"));
        }
    }
}
