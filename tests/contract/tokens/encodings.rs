//! Encodings of a good token response: byte order marks and content codings are understood, or named.

use crate::support::{Launch, Server, Setup, ok};

const JSON: &str = r#"{"access_token":"abc","token_type":"Bearer","expires_in":3600}"#;
const MARK: &str = "\u{feff}";

/// CRC-32 as gzip wants it (RFC 1952 section 8).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(!0, step)
}

/// One block as it is, without compression: a valid gzip file all the same (RFC 1951 section 3.2.4).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&(!length).to_le_bytes());
    file.extend_from_slice(bytes);
    file.extend_from_slice(&crc32(bytes).to_le_bytes());
    file.extend_from_slice(&u32::from(length).to_le_bytes());
    file
}

/// A program whose token endpoint responds with this body and these fields.
async fn with(fields: &str, body: impl AsRef<[u8]>) -> (Server, Setup) {
    let tokens = Server::of_tokens(vec![ok(fields, body)]).await;
    let token_url = format!("{}/token", tokens.base_url());
    let setup = Setup::launched(|launch: Launch| launch.variable("CXONE_TOKEN_URL", token_url)).await;
    (tokens, setup)
}

#[tokio::test]
async fn marks_and_codings_of_a_good_response_are_understood() {
    let marked = format!("{MARK}{JSON}");
    for (name, fields, body) in [
        ("plain", "Content-Type: application/json\r\n", JSON.as_bytes().to_vec()),
        ("a charset", "Content-Type: application/json; charset=utf-8\r\n", JSON.as_bytes().to_vec()),
        ("no media type", "", JSON.as_bytes().to_vec()),
        ("white space around", "", format!(" \r\n{JSON}\n\n").into_bytes()),
        ("a byte order mark", "Content-Type: application/json\r\n", marked.clone().into_bytes()),
        ("gzip", "Content-Encoding: gzip\r\n", gzip(JSON.as_bytes())),
        ("gzip in another case", "Content-Encoding: GZIP\r\n", gzip(JSON.as_bytes())),
        ("gzip and a mark", "Content-Encoding: gzip\r\n", gzip(marked.as_bytes())),
        ("identity", "Content-Encoding: identity\r\n", JSON.as_bytes().to_vec()),
    ] {
        let (_tokens, setup) = with(fields, body).await;
        let status = crate::support::eventually("a first result", async || {
            let status = setup.status().await;
            (status["token"]["state"] != "absent").then_some(status)
        })
        .await;
        assert_eq!(status["token"]["state"], "valid", "{name}: {}", status["token"]["last_error"]);
    }
}

#[tokio::test]
async fn what_stays_unreadable_is_named() {
    for (fields, body, named) in [
        ("Content-Encoding: br\r\n", vec![0x8b, 2, 0x80, 0x7b, 3], "br"),
        ("Content-Encoding: zstd\r\n", vec![0x28, 0xb5, 0x2f, 0xfd, 4], "zstd"),
        // Cut off after the header of the file.
        ("Content-Encoding: gzip\r\n", gzip(b"")[..10].to_vec(), "coding"),
    ] {
        let (_tokens, setup) = with(fields, body).await;
        let response = setup.get("/api/v2/users/me").await;
        assert_eq!(response.status(), 502, "{named}: {}", response.text());
        let error = setup.status().await["token"]["last_error"].as_str().unwrap().to_owned();
        assert!(error.contains(named), "{named}: {error}");
    }
}

/// RFC 8259 wants UTF-8. Some servers send UTF-16 all the same.
#[tokio::test]
async fn utf_16_is_understood_or_named() {
    let utf16: Vec<u8> = JSON.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (_tokens, setup) =
        with("Content-Type: application/json\r\n", [&[0xff, 0xfe][..], &utf16].concat()).await;
    let status = crate::support::eventually("a first result", async || {
        let status = setup.status().await;
        (status["token"]["state"] != "absent").then_some(status)
    })
    .await;
    let is_named = status["token"]["last_error"].as_str().is_some_and(|error| error.contains("UTF-16"));
    assert!(status["token"]["state"] == "valid" || is_named, "{status}");
}
