use std::future::Future;

use futures::Stream;

/// Empty pages in a row after which a walk that is told to go on gives up.
pub(super) const MOST_EMPTY_PAGES: u32 = 50;

/// A stream of pages from "fetch the page after this cursor".
///
/// `fetch` answers a page and the cursor of the next one, absent on the last.
/// Pages come in order, one fetch at a time, and the next one is only fetched
/// when it is asked for. An error ends the stream.
pub fn pages<T, E, F, Fut>(start: Option<String>, fetch: F) -> impl Stream<Item = Result<T, E>>
where
    F: FnMut(Option<String>) -> Fut,
    Fut: Future<Output = Result<(T, Option<String>), E>>,
{
    /// What to fetch next; `None` once the last page came.
    type Next = Option<Option<String>>;

    let first: Next = Some(start);
    futures::stream::try_unfold((first, fetch), |(next, mut fetch)| async move {
        let Some(after) = next else { return Ok(None) };
        let (page, after) = fetch(after).await?;
        Ok(Some((page, (after.map(Some), fetch))))
    })
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn pages_follow_the_cursor_until_it_is_absent() {
        let fetch = |after: Option<String>| async move {
            let at: u32 = after.map_or(0, |after| after.parse().expect("our own cursor"));
            Ok::<_, String>((at, (at < 3).then(|| (at + 1).to_string())))
        };
        let all: Vec<u32> = pages(None, fetch).try_collect().await.expect("no error");
        assert_eq!(all, [0, 1, 2, 3]);
        let rest: Vec<u32> = pages(Some("2".into()), fetch).try_collect().await.expect("no error");
        assert_eq!(rest, [2, 3]);
    }

    #[tokio::test]
    async fn an_error_ends_the_stream() {
        let fetch = |after: Option<String>| async move {
            if after.is_some() { Err("broken") } else { Ok(((), Some("1".to_owned()))) }
        };
        let mut stream = std::pin::pin!(pages(None, fetch));
        assert_eq!(stream.try_next().await, Ok(Some(())));
        assert_eq!(stream.try_next().await, Err("broken"));
        assert_eq!(stream.try_next().await, Ok(None));
    }
}
