//! What is read from AWS: every page, in batches as large as AWS takes.
//!
//! `elb.rs` and `ec2.rs` here have one method for each question; this file has what they share: pages, batches, and going
//! on without what is gone. Neighbours: `call.rs` sends, `convert.rs` reads the answers.

mod ec2;
mod elb;

use std::future::Future;

use futures::stream::{self, StreamExt};

pub use ec2::SecurityGroupFilter;

use super::convert::Unexpected;
use super::error::AwsError;
use super::operation::Operation;

/// Batches in flight at once. More would only wait for tokens, each with a connection of its own.
const SIDE_BY_SIDE: usize = 8;

/// Items of one page and the token of the next.
type Page<T> = (Vec<T>, Option<String>);

/// All pages, one after another.
///
/// # Errors
/// Of the call; `UnexpectedAnswer` when AWS leads in a circle.
async fn every_page<T, F>(operation: Operation, mut page: impl FnMut(Option<String>) -> F) -> Result<Vec<T>, AwsError>
where
    F: Future<Output = Result<Page<T>, AwsError>>,
{
    let mut all = Vec::new();
    let mut token = None;
    loop {
        let (items, next) = page(token.clone()).await?;
        all.extend(items);
        // Some answers end with an empty token instead of none.
        let next = next.filter(|next| !next.is_empty());
        if next.is_none() {
            return Ok(all);
        }
        if next == token {
            return Err(AwsError::unexpected(operation, "the next page's token is this page's own"));
        }
        token = next;
    }
}

/// `call` on all keys, `size` at a time, some batches side by side. Answers come in no particular order.
async fn in_batches<K, T, F>(keys: &[K], size: usize, call: impl Fn(Vec<K>) -> F) -> Result<Vec<T>, AwsError>
where
    K: Clone,
    F: Future<Output = Result<Vec<T>, AwsError>>,
{
    let calls: Vec<F> = keys.chunks(size).map(|batch| call(batch.to_vec())).collect();
    let mut answers = stream::iter(calls).buffer_unordered(SIDE_BY_SIDE);
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await {
        all.extend(answer?);
    }
    Ok(all)
}

/// The same for calls that AWS refuses as a whole when one key is gone: such a batch is halved until what is gone stands
/// alone and is left out.
async fn without_gone<K, T, F>(keys: &[K], size: usize, call: impl Fn(Vec<K>) -> F) -> Result<Vec<T>, AwsError>
where
    K: Clone,
    F: Future<Output = Result<Vec<T>, AwsError>>,
{
    let mut all = Vec::new();
    let mut batches: Vec<Vec<K>> = keys.chunks(size).map(<[K]>::to_vec).collect();
    while !batches.is_empty() {
        let calls: Vec<_> = batches
            .drain(..)
            .map(|batch| {
                let answer = call(batch.clone());
                async { (batch, answer.await) }
            })
            .collect();
        let mut answers = stream::iter(calls).buffer_unordered(SIDE_BY_SIDE);
        while let Some((batch, answer)) = answers.next().await {
            match answer {
                Ok(items) => all.extend(items),
                Err(error) if error.is_gone() => {
                    let (left, right) = batch.split_at(batch.len() / 2);
                    batches
                        .extend([left, right].into_iter().filter(|half| !half.is_empty() && batch.len() > 1).map(<[K]>::to_vec));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(all)
}

/// Reads what is ours to know: something unreadable fails the call.
fn all_of<S, T>(operation: Operation, shown: &[S], read: impl Fn(&S) -> Result<T, Unexpected>) -> Result<Vec<T>, AwsError> {
    shown.iter().map(|item| read(item).map_err(|error| AwsError::unexpected(operation, error.to_string()))).collect()
}

/// Reads a listing of the whole account, most of it other people's: something unreadable is logged and left out.
fn readable<S, T>(shown: &[S], read: impl Fn(&S) -> Result<T, Unexpected>) -> Vec<T> {
    shown
        .iter()
        .filter_map(|item| read(item).inspect_err(|error| tracing::warn!(%error, "left out of the inventory")).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::aws::test_server::gone;

    const TAGS: Operation = Operation::DescribeTags;

    #[tokio::test]
    async fn pages_are_followed_to_the_end() {
        let read = every_page(TAGS, |token| async move {
            Ok(match token.as_deref() {
                None => (vec![1, 2], Some("b".to_owned())),
                Some("b") => (vec![3], Some("c".to_owned())),
                _ => (vec![], Some(String::new())),
            })
        });
        assert_eq!(read.await.unwrap(), [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_circle_of_pages_is_an_error() {
        let read = every_page(TAGS, |_| async { Ok((vec![0], Some("same".to_owned()))) });
        assert_eq!(read.await.unwrap_err().code, "UnexpectedAnswer");
    }

    #[tokio::test]
    async fn batches_are_as_large_as_allowed() {
        let sizes = Mutex::new(Vec::new());
        let keys: Vec<u32> = (0..45).collect();
        let mut read = in_batches(&keys, 20, |batch| {
            sizes.lock().unwrap().push(batch.len());
            async { Ok(batch) }
        })
        .await
        .unwrap();
        read.sort_unstable();
        assert_eq!(read, keys);
        assert_eq!(sizes.into_inner().unwrap(), [20, 20, 5]);
    }

    #[tokio::test]
    async fn what_is_gone_is_left_out_and_the_rest_is_found() {
        let calls = Mutex::new(0);
        let keys: Vec<u32> = (0..40).collect();
        let mut read = without_gone(&keys, 20, |batch| {
            *calls.lock().unwrap() += 1;
            async { if batch.contains(&7) || batch.contains(&8) { Err(gone(TAGS)) } else { Ok(batch) } }
        })
        .await
        .unwrap();
        read.sort_unstable();
        assert_eq!(read, (0..40).filter(|key| ![7, 8].contains(key)).collect::<Vec<_>>());
        assert!(calls.into_inner().unwrap() <= 12, "halves, not one call for each key");
    }

    #[tokio::test]
    async fn other_errors_are_not_split_away() {
        let denied = |_| async {
            Err::<Vec<u32>, _>(AwsError { code: "AccessDenied".into(), class: crate::error::Class::Permission, ..gone(TAGS) })
        };
        assert_eq!(without_gone(&[1, 2, 3], 20, denied).await.unwrap_err().code, "AccessDenied");
    }
}
