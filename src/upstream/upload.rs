//! A request's body on its way through hyper.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::error::BoxError;
use super::wire::Wire;

/// The body of the caller, and what is to be known of it while hyper owns it. Once failed it stays failed.
pub(super) struct Upload<B> {
    body: B,
    /// Absent where there is nothing to send.
    wire: Option<Arc<Wire>>,
    /// hyper holds what it has been given until the socket takes it (HTTP/1.1), or bounds it itself (HTTP/2).
    is_bounded: bool,
}

/// The body failed; [`Wire::take_failure`] has the reason.
#[derive(Debug)]
pub(super) struct UploadFailed;

impl<B> Upload<B> {
    pub(super) fn over_http1(body: B, wire: &Arc<Wire>) -> Self
    where
        B: Body,
    {
        let wire = track(&body, wire);
        Self { body, wire, is_bounded: true }
    }

    pub(super) fn over_http2(body: B, wire: &Arc<Wire>) -> Self
    where
        B: Body,
    {
        let wire = track(&body, wire);
        Self { body, wire, is_bounded: false }
    }

    /// The caller's body, for another connection.
    pub(super) fn into_body(self) -> B {
        self.body
    }
}

fn track<B: Body>(body: &B, wire: &Arc<Wire>) -> Option<Arc<Wire>> {
    if body.is_end_stream() {
        wire.note_uploaded();
        return None;
    }
    Some(wire.clone())
}

impl<B> Body for Upload<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = UploadFailed;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadFailed>>> {
        let this = self.get_mut();
        let Some(wire) = &this.wire else { return Poll::Ready(None) };
        if wire.has_failed() {
            return Poll::Ready(Some(Err(UploadFailed)));
        }
        if this.is_bounded {
            ready!(wire.poll_room(cx));
        }
        Poll::Ready(match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if this.is_bounded
                    && let Some(data) = frame.data_ref()
                {
                    wire.note_buffered(data.len());
                }
                if frame.is_trailers() || this.body.is_end_stream() {
                    wire.note_uploaded();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                wire.fail(error.into());
                Some(Err(UploadFailed))
            }
            None => {
                wire.note_uploaded();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.wire {
            None => true,
            Some(wire) => !wire.has_failed() && self.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.wire.is_none() { SizeHint::with_exact(0) } else { self.body.size_hint() }
    }
}

impl fmt::Display for UploadFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request's body could not be read")
    }
}

impl Error for UploadFailed {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use http_body_util::{Empty, StreamBody};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn endless() -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
        let piece = Bytes::from(vec![0; 20_000]);
        StreamBody::new(futures_util::stream::repeat_with(move || Ok(Frame::data(piece.clone()))))
    }

    #[test]
    fn hyper_holds_a_bounded_part_of_a_body_until_the_socket_has_taken_it() {
        let (wire, count) = (Arc::new(Wire::default()), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        wire.begin();
        let mut upload = Upload::over_http1(endless(), &wire);
        for turn in 0..3 {
            let mut held = 0;
            while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut upload).poll_frame(&mut cx) {
                held += frame.data_ref().unwrap().len();
                assert!(held < 200_000, "it has no bound");
            }
            assert_eq!(held, 40_000);
            assert_eq!(count.0.load(Ordering::Relaxed), turn);
            wire.note_flushed();
            assert_eq!(count.0.load(Ordering::Relaxed), turn + 1, "nothing else wakes hyper");
        }
    }

    #[test]
    fn its_end_is_known() {
        let wire = Arc::new(Wire::default());
        let mut cx = Context::from_waker(Waker::noop());
        let upload = Upload::over_http1(Empty::<Bytes>::new(), &wire);
        assert!(wire.is_uploaded() && upload.is_end_stream());

        wire.begin();
        let two =
            ["a", "b"].map(|piece| Ok::<_, BoxError>(Frame::data(Bytes::from_static(piece.as_bytes()))));
        let mut upload = Upload::over_http1(StreamBody::new(futures_util::stream::iter(two)), &wire);
        for _ in 0..2 {
            assert!(!wire.is_uploaded() && wire.poll_uploaded(&mut cx).is_pending());
            assert!(Pin::new(&mut upload).poll_frame(&mut cx).is_ready());
        }
        assert!(matches!(Pin::new(&mut upload).poll_frame(&mut cx), Poll::Ready(None)));
        assert!(wire.is_uploaded() && !wire.has_failed());
    }

    #[test]
    fn once_failed_it_stays_failed() {
        let wire = Arc::new(Wire::default());
        let mut cx = Context::from_waker(Waker::noop());
        let broken = [Err::<Frame<Bytes>, BoxError>("gone".into())];
        let mut upload = Upload::over_http1(StreamBody::new(futures_util::stream::iter(broken)), &wire);
        for _ in 0..3 {
            assert!(matches!(
                Pin::new(&mut upload).poll_frame(&mut cx),
                Poll::Ready(Some(Err(UploadFailed)))
            ));
            assert!(!upload.is_end_stream());
        }
        assert_eq!(wire.take_failure().unwrap().to_string(), "gone");
    }
}
