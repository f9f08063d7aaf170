//! HTTP/2 frame by frame: for peers that do what no library lets them do.

use std::net::SocketAddr;

use super::RawConnection;

/// A frame (RFC 9113 section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    /// Of DATA and HEADERS.
    pub(crate) const END_STREAM: u8 = 1;
    /// Of SETTINGS and PING.
    pub(crate) const ACK: u8 = 1;
    /// Of HEADERS.
    pub(crate) const END_HEADERS: u8 = 4;

    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, Self::DATA | Self::HEADERS) && self.flags & Self::END_STREAM != 0
    }
}

/// A connection after its preface and the first SETTINGS.
pub(crate) struct FrameConnection {
    raw: RawConnection,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl FrameConnection {
    /// A client of the proxy at this address.
    pub(crate) async fn client(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut raw = RawConnection::to(address).await;
        raw.send(PREFACE).await;
        let mut connection = Self { raw };
        connection.send(Frame::SETTINGS, 0, 0, settings_payload(settings)).await;
        connection
    }

    /// The server's end of a connection that the program has just opened.
    pub(crate) async fn server(mut raw: RawConnection, settings: &[(u16, u32)]) -> Self {
        assert_eq!(raw.up_to(PREFACE.len()).await, PREFACE);
        let mut connection = Self { raw };
        connection.send(Frame::SETTINGS, 0, 0, settings_payload(settings)).await;
        connection
    }

    /// Sends one frame.
    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) {
        self.raw.send(encoded(kind, flags, stream, payload.as_ref())).await;
    }

    /// Like [`FrameConnection::send`], for a peer that may be gone; false where it is.
    pub(crate) async fn try_send(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: impl AsRef<[u8]>,
    ) -> bool {
        self.raw.try_send(encoded(kind, flags, stream, payload.as_ref())).await.is_ok()
    }

    /// Sends a GET on this stream; false where the peer is gone.
    pub(crate) async fn try_get(&mut self, stream: u32, target: &str) -> bool {
        let fields = request_fields("GET", target);
        self.try_send(Frame::HEADERS, Frame::END_HEADERS | Frame::END_STREAM, stream, fields).await
    }

    /// Responds with 200 and this body.
    pub(crate) async fn respond(&mut self, stream: u32, body: &str) {
        self.send(Frame::HEADERS, Frame::END_HEADERS, stream, STATUS_200).await;
        self.send(Frame::DATA, Frame::END_STREAM, stream, body).await;
    }

    /// The next frame that is neither SETTINGS nor `WINDOW_UPDATE` nor PRIORITY; SETTINGS are acknowledged, PINGs
    /// are not. `None` at the connection's end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any().await?;
            match frame.kind {
                Frame::SETTINGS if frame.flags & Frame::ACK == 0 => {
                    self.try_send(Frame::SETTINGS, Frame::ACK, 0, []).await;
                }
                Frame::SETTINGS | Frame::WINDOW_UPDATE | Frame::PRIORITY => {}
                _ => return Some(frame),
            }
        }
    }

    /// The next frame that ends a stream from this side, or the connection; PINGs are acknowledged.
    pub(crate) async fn end_of_request(&mut self) -> Option<u32> {
        loop {
            let frame = self.next().await?;
            if frame.kind == Frame::PING && frame.flags & Frame::ACK == 0 {
                self.try_send(Frame::PING, Frame::ACK, 0, &frame.payload).await;
            }
            if frame.kind == Frame::DATA && !frame.payload.is_empty() {
                let credit = u32::try_from(frame.payload.len()).unwrap().to_be_bytes();
                self.try_send(Frame::WINDOW_UPDATE, 0, 0, credit).await;
            }
            if frame.ends_stream() {
                return Some(frame.stream);
            }
        }
    }

    /// The next frame; `None` at the connection's end. Cancel safe.
    pub(crate) async fn any(&mut self) -> Option<Frame> {
        let head: [u8; 9] = self.raw.peek(9).await?.try_into().unwrap();
        let [a, b, c, kind, flags, s0, s1, s2, s3] = head;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        self.raw.peek(9 + length).await?;
        let payload = self.raw.up_to(9 + length).await.split_off(9);
        Some(Frame { kind, flags, stream, payload })
    }
}

/// A HEADERS block of `:status: 200` alone: index 8 of the static table (RFC 7541 appendix A).
pub(crate) const STATUS_200: [u8; 1] = [0x88];

/// The pseudo-fields of a request for the proxy under the name `localhost`.
pub(crate) fn request_fields(method: &str, target: &str) -> Vec<u8> {
    field_block(&[(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", target)])
}

/// Field lines as literals that are not indexed (RFC 7541 section 6.2.2), without Huffman coding.
pub(crate) fn field_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    block
}

/// A string of fewer than 16,384 bytes (RFC 7541 sections 5.1 and 5.2).
pub(crate) fn string(block: &mut Vec<u8>, text: &str) {
    integer(block, 0, 7, text.len());
    block.extend_from_slice(text.as_bytes());
}

/// An integer with a prefix of so many bits, beside which `first` stands.
pub(crate) fn integer(block: &mut Vec<u8>, first: u8, bits: u32, value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        block.push(first | u8::try_from(value).unwrap());
        return;
    }
    block.push(first | u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 0x80);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

fn settings_payload(settings: &[(u16, u32)]) -> Vec<u8> {
    settings
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect()
}

fn encoded(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [zero, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    assert_eq!(zero, 0, "a payload of {} bytes", payload.len());
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}
