//! The guard before the admin pages: the same as before the proxy.

use std::sync::Arc;

use crate::admin::{Admin, Denial, Pages};
use crate::message::{FieldSink, RequestHead};
use crate::proxy::guard::{self, Settings};
use crate::proxy::problem::Problem;
use crate::proxy::{fields, not_admitted, preflight_fields};

use super::service::unreadable;

/// The pages behind `guard`.
pub(super) fn gated(pages: Pages, guard: Settings) -> Admin {
    let guard = Arc::new(guard);
    let judging = guard.clone();
    let gate = Arc::new(move |head: &RequestHead| match guard::admit(head, &judging, |_, _| false) {
        Err(refusal) => Err(denial(&not_admitted(refusal, head))),
        Ok(admitted) if admitted.preflight => {
            let mut answer = Lines::default();
            preflight_fields(head, &mut answer);
            Err(Denial { status: 204, fields: answer.0, content: Vec::new() })
        }
        Ok(_) => Ok(()),
    });
    let unread = Arc::new(|why| {
        let (kind, detail) = unreadable(why);
        denial(&Problem::new(kind, detail))
    });
    Admin::new(pages, gate, unread).with(Arc::new(move |head: &RequestHead| {
        let mut added = Lines::default();
        if let Some(origin) = guard::allowed_origin(head, &guard) {
            fields::allow_origin(origin, &mut added);
        }
        added.0
    }))
}

fn denial(problem: &Problem) -> Denial {
    Denial {
        status: problem.kind.status(),
        fields: vec![
            ("Content-Type", "application/problem+json".to_owned()),
            ("Proxy-Status", problem.proxy_status()),
        ],
        content: problem.content(),
    }
}

/// Field lines with constant names.
#[derive(Default)]
struct Lines(Vec<(&'static str, String)>);

impl FieldSink for Lines {
    fn line(&mut self, name: &[u8], value: &[u8]) {
        const KNOWN: [&str; 8] = [
            "Access-Control-Allow-Origin",
            "Access-Control-Allow-Methods",
            "Access-Control-Allow-Headers",
            "Access-Control-Allow-Private-Network",
            "Access-Control-Allow-Credentials",
            "Access-Control-Expose-Headers",
            "Access-Control-Max-Age",
            "Vary",
        ];
        if let Some(name) = KNOWN.iter().find(|known| known.as_bytes() == name) {
            self.0.push((name, String::from_utf8_lossy(value).into_owned()));
        }
    }
}
