//! Waiting for a condition, with a limit and with words for what did not come.

use std::fmt::Debug;
use std::time::Duration;

/// How long a condition may take before the test fails. Generous: two cores run everything.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Asks `probe` until it gives `Ok`, for up to [`LIMIT`]. The last `Err` is what the failure shows.
pub async fn until<T, E: Debug>(what: &str, probe: impl AsyncFnMut() -> Result<T, E>) -> T {
    until_within(LIMIT, what, probe).await
}

/// The same with another limit.
pub async fn until_within<T, E: Debug>(limit: Duration, what: &str, mut probe: impl AsyncFnMut() -> Result<T, E>) -> T {
    let start = tokio::time::Instant::now();
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(last) if start.elapsed() > limit => panic!("{what}: not within {limit:?}; last seen: {last:#?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
