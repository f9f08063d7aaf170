//! Callers at work: each request is one client's, and counts for it.

use std::sync::Arc;

use http::request::Parts;

use super::arrival::Arrival;
use super::pace::{Pace, PaceSettings, Rate};
use crate::access::{Client, Clients, Denial, Problem, ProblemKind};
use crate::metrics::{ClientRequests, Metrics};

/// The clients of a proxy, each with its pace. All cores share one.
#[derive(Debug)]
pub struct Callers {
    clients: Clients,
    paces: Vec<Option<(Rate, Arc<Pace>)>>,
    requests: ClientRequests,
}

/// The client that a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'c> {
    pub(super) client: &'c Client,
    pub(super) requests: &'c ClientRequests,
    pub(super) pace: Option<&'c Pace>,
}

impl Callers {
    /// These clients, each with the most requests in a window that it may send, where there is a limit. `queue` is
    /// the most requests of one client that wait for their turn. A client with the rate that it had `before` goes on
    /// with what it has used of it.
    pub fn new(
        clients: Vec<(Client, Option<Rate>)>,
        queue: usize,
        metrics: &Metrics,
        before: Option<&Self>,
    ) -> Self {
        let (clients, rates): (Vec<_>, Vec<_>) = clients.into_iter().unzip();
        let pace = |(client, rate): (&Client, Option<Rate>)| {
            let rate = rate?;
            if let Some(same) = before.and_then(|before| before.pace_of(&client.name, rate)) {
                return Some((rate, same));
            }
            let settings = PaceSettings {
                adaptive: false,
                max: Some(rate),
                concurrent: None,
                queue,
                budget: None,
                limits: Vec::new(),
            };
            Some((rate, Arc::new(Pace::new(&format!("client {}", client.name), &settings))))
        };
        let paces = clients.iter().zip(rates).map(pace).collect();
        Self { clients: Clients::new(clients), paces, requests: metrics.client_requests() }
    }

    fn pace_of(&self, name: &str, rate: Rate) -> Option<Arc<Pace>> {
        let known = self.clients.all().iter().zip(&self.paces);
        let (_, own) = known.into_iter().find(|(client, _)| &*client.name == name)?;
        own.as_ref().filter(|(own, _)| *own == rate).map(|(_, pace)| Arc::clone(pace))
    }

    /// Whose request it is.
    pub(super) fn identify(&self, head: &Parts, arrival: &Arrival) -> Result<Caller<'_>, Problem> {
        let unknown = || Problem::new(ProblemKind::ClientUnknown);
        let index =
            self.clients.identify(&head.headers, arrival.peer.as_deref()).map_err(|found| found.problem())?;
        let client = self.clients.all().get(index).ok_or_else(unknown)?;
        let pace = self.paces.get(index).and_then(Option::as_ref).map(|(_, pace)| &**pace);
        Ok(Caller { client, requests: &self.requests, pace })
    }
}

impl Caller<'_> {
    /// Refuses what this client may not send, although others may. `path` is the one that the API gets.
    pub(super) fn check(&self, head: &Parts, profile: &str, path: &str) -> Result<(), Problem> {
        self.check_profile(profile)?;
        self.client.rules.check(head, path).map_err(|denial| self.explain(&denial, head))
    }

    /// Refuses a profile that this client may not use.
    pub(super) fn check_profile(&self, profile: &str) -> Result<(), Problem> {
        let Client { name, profiles, .. } = self.client;
        if !profiles.is_empty() && !profiles.iter().any(|own| own == profile) {
            return Err(Problem::new(ProblemKind::ProfileNotAllowed).detail(format!(
                "The client `{name}` may not use the profile `{profile}`, which this request is for."
            )));
        }
        Ok(())
    }

    fn explain(&self, denial: &Denial, head: &Parts) -> Problem {
        let problem = denial.problem(&head.method);
        match denial {
            Denial::Denied(_) | Denial::NotAllowed => problem.hint(format!(
                "Use another request, or ask the proxy's operator to change `allow` and `deny` of the client `{}` in \
                 the clients file.",
                self.client.name
            )),
            Denial::ReadOnly | Denial::Ambiguous(_) | Denial::Override(_) => problem,
        }
    }
}
