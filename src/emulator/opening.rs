//! The first byte of a connection tells TLS from plain HTTP.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What a TLS client says first: the content type of a handshake record.
const HANDSHAKE: u8 = 0x16;

/// A connection whose language is known.
pub(crate) enum Opened<S> {
    Plain(Reread<S>),
    Tls(Reread<S>),
}

/// Waits for the first byte.
pub(crate) async fn open<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<Opened<S>> {
    let first = stream.read_u8().await?;
    let stream = Reread { first: Some(first), stream };
    Ok(if first == HANDSHAKE { Opened::Tls(stream) } else { Opened::Plain(stream) })
}

/// A stream whose first byte has been read and is read again.
pub(crate) struct Reread<S> {
    first: Option<u8>,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Reread<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(first) = self.first.filter(|_| buffer.remaining() > 0) else {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        };
        self.first = None;
        buffer.put_slice(&[first]);
        // What follows has most likely come with it; if not, or if it cannot
        // be read, the next read will tell.
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reread<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
