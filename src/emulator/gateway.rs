//! What never gets as far as a call: heads that are no HTTP, or too long.
//!
//! The HTTP library answers them itself, with a status and no body. A client
//! of HubSpot meets the gateway's HTML there, so the answer is put into that
//! form on its way out.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::errors::Refusal;

/// A stream whose bare refusals leave as a gateway's.
pub(crate) struct Gateway<S> {
    stream: S,
    /// What is written in the place of a bare refusal.
    page: Vec<u8>,
    written: usize,
}

impl<S: AsyncWrite + Unpin> Gateway<S> {
    /// Watches what is written to a stream.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, page: Vec::new(), written: 0 }
    }

    fn poll_page(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.page.len() {
            let rest = &self.page[self.written..];
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.page.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// The page that belongs in the place of a bare refusal; none for every other
/// answer, which has a correlation id at least.
fn page(head: &[u8]) -> Option<Vec<u8>> {
    let status = head.strip_prefix(b"HTTP/1.1 4").or_else(|| head.strip_prefix(b"HTTP/1.0 4"))?;
    let status = match status.get(..2)? {
        b"00" => 400,
        b"14" => 414,
        b"31" => 431,
        _ => return None,
    };
    let text = std::str::from_utf8(head).ok().filter(|text| text.ends_with("\r\n\r\n"))?;
    if text.contains("x-hubspot-correlation-id") || !text.contains("content-length: 0\r\n") {
        return None;
    }
    let refusal = if status == 414 { Refusal::url_too_long() } else { Refusal::gateway(status) };
    let (body, content_type) = refusal.render("");
    let told = format!("content-length: {}\r\ncontent-type: {content_type}\r\n", body.len());
    let mut page = text.replace("content-length: 0\r\n", &told).into_bytes();
    page.extend_from_slice(&body);
    Some(page)
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gateway<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_page(context))?;
        match page(bytes) {
            Some(page) => {
                self.page = page;
                Poll::Ready(Ok(bytes.len()))
            }
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_page(context))?;
        // A bare refusal is the last there is to write, and has no body.
        let alone = slices.iter().find(|slice| !slice.is_empty());
        match alone.and_then(|slice| Some((slice.len(), page(slice)?))) {
            Some((length, page)) => {
                self.page = page;
                Poll::Ready(Ok(length))
            }
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_page(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_page(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gateway<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_refusals_become_pages() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
                    content-length: 0\r\n\r\n";
        let page_text =
            page(bare.as_bytes()).map(|page| String::from_utf8_lossy(&page).into_owned());
        let page_text = page_text.unwrap_or_default();
        let (head, body) = page_text.split_once("\r\n\r\n").unwrap_or_default();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert!(head.ends_with("content-type: text/html;charset=utf-8"), "{head}");
        assert!(body.contains("<title>431 Request Header Fields Too Large</title>"), "{body}");
        for other in [
            "HTTP/1.1 400 Bad Request\r\nx-hubspot-correlation-id: 1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 4",
            "{}",
        ] {
            assert_eq!(page(other.as_bytes()), None, "{other}");
        }
    }
}
