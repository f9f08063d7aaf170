//! What is decided and written for every exchange.

use std::error::Error;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cxone_proxy::clock::Clock;
use cxone_proxy::http1::{parse_request, parse_response};
use cxone_proxy::message::{
    Content, ContentError, Fields, Framing, Next, RequestHead, ResponseHead, Version,
};
use cxone_proxy::proxy::fields::{self, Additions, Addressed, Via};
use cxone_proxy::proxy::guard::{self, AllowedHosts};
use cxone_proxy::proxy::replay::Replay;
use cxone_proxy::proxy::retry::{self, Facts, Rules, Seen, SoFar};

use super::Part;
use super::parse::{LIMIT, REQUEST, RESPONSE};
use crate::loopback::tokens;

pub(super) fn admit() -> Result<Part, Box<dyn Error>> {
    let head = request_head()?;
    let settings = guard::Settings {
        hosts: AllowedHosts::Names(Vec::new()),
        origins: Vec::new(),
        listen: vec![Ipv4Addr::LOCALHOST.into()],
    };
    Ok(Part::new("guard_admit", move || {
        let _ = black_box(guard::admit(black_box(&head), &settings, |_, _| false));
    }))
}

pub(super) fn current_token() -> Result<Part, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clock = Clock::System;
    let tokens = runtime.block_on(tokens::at_hand(&clock))?;
    let now = clock.now();
    Ok(Part::new("tokens_current", move || {
        black_box(tokens.current(black_box(now)));
    }))
}

pub(super) fn outgoing() -> Result<Part, Box<dyn Error>> {
    let head = request_head()?;
    let authorization = format!("Bearer {}", "t".repeat(800));
    let mut out = Vec::with_capacity(4096);
    Ok(Part::new("fields_outgoing", move || {
        out.clear();
        let additions = Additions {
            authorization: authorization.as_bytes(),
            loop_member: b"cxone-proxy-0123456789abcdef",
            via: Via::Response,
            upgrades: fields::asks_for_websocket(&head),
        };
        assert!(!fields::has_looped(&head, additions.loop_member), "it is new here");
        fields::outgoing(black_box(&head), &additions, Version::Http11, &mut out);
        black_box(&out);
    }))
}

pub(super) fn incoming() -> Result<Part, Box<dyn Error>> {
    let mut head = ResponseHead::default();
    parse_response(RESPONSE, &mut 0, LIMIT, &mut head)?;
    let mut out = Vec::with_capacity(4096);
    Ok(Part::new("fields_incoming", move || {
        out.clear();
        let addressed = Addressed {
            ways: &Vec::new,
            host: "api.cxone.com",
            origin: None,
            via: Via::Response,
            drop_length: false,
        };
        fields::incoming(black_box(&head), &addressed, &mut out);
        black_box(&out);
    }))
}

pub(super) fn decide() -> Part {
    let rules = Rules { rate_limit_retries: 3, max_wait: Duration::from_secs(30) };
    let facts = Facts { replayable: true, idempotent: true, unbegun: true };
    let answers = [200, 401, 429].map(|status| Seen::Answer { status, retry_after: None });
    Part::new("retry_decide", move || {
        for seen in answers {
            black_box(retry::decide(black_box(seen), SoFar::default(), facts, rules, 0.5));
        }
    })
}

/// A kilobyte sent, and sent again.
pub(super) fn replay() -> Part {
    Part::new("replay_1_kib_twice", || {
        let mut replay = Replay::new(Kilobyte { left: 1024 }, 1024 * 1024);
        send(&mut replay);
        replay.rewind();
        send(&mut replay);
        assert!(replay.is_replayable(), "it is well below the limit");
    })
}

fn send(content: &mut impl Content) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok(Next::Bytes)) = content.poll_next(&mut cx) {
        let count = black_box(content.bytes()).len();
        content.consume(count);
    }
}

/// Content that is there at once.
struct Kilobyte {
    left: usize,
}

impl Content for Kilobyte {
    fn framing(&self) -> Framing {
        Framing::Length(1024)
    }
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Next, ContentError>> {
        Poll::Ready(Ok(if self.left == 0 { Next::End } else { Next::Bytes }))
    }
    fn bytes(&self) -> &[u8] {
        KILOBYTE.get(..self.left).unwrap_or_default()
    }
    fn consume(&mut self, count: usize) {
        self.left -= count;
    }
    fn trailers(&self) -> Option<&Fields> {
        None
    }
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

static KILOBYTE: [u8; 1024] = [b'x'; 1024];

fn request_head() -> Result<RequestHead, Box<dyn Error>> {
    let mut head = RequestHead::default();
    parse_request(REQUEST, &mut 0, LIMIT, &mut head)?;
    Ok(head)
}
