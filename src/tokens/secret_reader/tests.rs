use std::process::Command;

use super::*;

fn reader(path: &std::path::Path) -> SecretReader {
    let at_start = Secret::new("first".to_owned());
    SecretReader::new(
        SecretSource::Read { place: SecretPlace::File(path.to_owned()), at_start },
        Clock::System,
    )
}

/// The threads that read this file now.
fn threads(reader: &SecretReader) -> usize {
    match reader {
        SecretReader::Value(_) => 0,
        SecretReader::Place(place) => Arc::strong_count(&place.reading) - 1,
    }
}

#[tokio::test]
async fn the_file_is_read_again_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, "second\n").unwrap();
    let reader = reader(&path);
    assert_eq!(reader.secret().await.reveal(), "second");
    std::fs::write(&path, "third").unwrap();
    assert_eq!(reader.secret().await.reveal(), "third");
    assert!(!format!("{reader:?}").contains("third"));
}

#[tokio::test]
async fn the_last_good_secret_outlives_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let reader = reader(&path);
    assert_eq!(reader.secret().await.reveal(), "first", "never there");
    std::fs::write(&path, "second").unwrap();
    assert_eq!(reader.secret().await.reveal(), "second");
    for bad in ["  third", "\u{feff}third", "'third'", ""] {
        std::fs::write(&path, bad).unwrap();
        assert_eq!(reader.secret().await.reveal(), "second", "{bad:?}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(reader.secret().await.reveal(), "second", "gone");
}

/// A pipe without a writer stands for every file system that hangs.
#[tokio::test]
async fn a_file_that_hangs_costs_one_thread_and_two_seconds_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = reader(&path);
    let began = Instant::now();
    assert_eq!(reader.secret().await.reveal(), "first");
    let first = began.elapsed();
    assert!(first >= TIME_OUT && first < TIME_OUT * 2, "{first:?}");
    let began = Instant::now();
    for _ in 0..50 {
        assert_eq!(reader.secret().await.reveal(), "first");
    }
    assert!(began.elapsed() < TIME_OUT / 2, "the others do not wait");
    assert_eq!(threads(&reader), 1);
    // Once there is something to read, the thread ends, and the next request reads again.
    std::fs::write(&path, "late\n").unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "second\n").unwrap();
    while threads(&reader) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(reader.secret().await.reveal(), "second");
}
