//! The socket between main and the guard.
//!
//! A pair of `SOCK_SEQPACKET` sockets: messages keep their bounds, a write is done whole or not at
//! all and never waits, and the kernel closes the pair when either process ends, however it ends.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::message::MAX_LEN;

/// One end.
#[derive(Debug)]
pub(super) struct Channel(AsyncFd<OwnedFd>);

/// A message, and a file descriptor if one came with it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) text: String,
    pub(super) fd: Option<OwnedFd>,
}

impl Channel {
    /// This process's end, and the one to be given to a child as its standard input.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = sockets()?;
        Ok((Self::from_fd(ours)?, theirs))
    }

    /// The end that was inherited.
    pub(super) fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        #[expect(deprecated, reason = "its successor is unsafe; for an `OwnedFd` both are sound")]
        Ok(Self(AsyncFd::with_interest(fd, Interest::READABLE)?))
    }

    /// Sends a message, with a file descriptor if there is one. Never waits: an error means that
    /// the other end is gone or has not read for a long time.
    pub(super) fn send(&self, text: &str, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        send(self.0.get_ref(), text, fd)
    }

    /// The next message; none when the other end is closed. May be dropped at any point.
    pub(super) async fn recv(&self) -> Option<Received> {
        self.0.async_io(Interest::READABLE, receive).await.ok().flatten()
    }

    /// The next message if it is there already; [`io::ErrorKind::WouldBlock`] if not.
    pub(super) fn try_recv(&self) -> io::Result<Option<Received>> {
        receive(self.0.get_ref())
    }
}

/// A pair of sockets, of which the children of this process inherit only what they are given.
pub(super) fn sockets() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// See [`Channel::send`].
pub(super) fn send(socket: &OwnedFd, text: &str, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if let Some(fd) = &fd {
        control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(fd)));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(text.as_bytes())], &mut control, flags)?;
    Ok(())
}

/// See [`Channel::try_recv`].
pub(super) fn receive(socket: &OwnedFd) -> io::Result<Option<Received>> {
    let mut bytes = [0; MAX_LEN];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = loop {
        match recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
            // The other end went without reading everything. That comes before what it had sent,
            // once, and what it had sent still counts.
            Err(Errno::CONNRESET | Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let text = bytes.get(..received.bytes).unwrap_or_default();
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok(Some(Received { text: String::from_utf8_lossy(text).into_owned(), fd }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    fn pair() -> (Channel, Channel) {
        let (ours, theirs) = Channel::pair().unwrap();
        (ours, Channel::from_fd(theirs).unwrap())
    }

    #[tokio::test]
    async fn messages_keep_their_bounds_and_carry_a_descriptor() {
        let (main, guard) = pair();
        let mut path = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut path, b"through").unwrap();
        let file = File::open(path.path()).unwrap();
        main.send("one", Some(file.as_fd())).unwrap();
        main.send("two", None).unwrap();
        let first = guard.recv().await.unwrap();
        assert_eq!(first.text, "one");
        let mut content = String::new();
        File::from(first.fd.unwrap()).read_to_string(&mut content).unwrap();
        assert_eq!(content, "through");
        let second = guard.recv().await.unwrap();
        assert_eq!((second.text.as_str(), second.fd.is_none()), ("two", true));
        assert_eq!(guard.try_recv().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn messages_sent_before_the_end_are_still_received() {
        let (main, guard) = pair();
        main.send("never read", None).unwrap();
        guard.send("last words", None).unwrap();
        drop(guard);
        assert_eq!(main.recv().await.unwrap().text, "last words");
        assert!(main.recv().await.is_none());
        assert!(main.send("anyone?", None).is_err());
    }

    #[tokio::test]
    async fn writing_to_an_end_that_does_not_read_fails_instead_of_waiting() {
        let (main, _guard) = pair();
        let refused = (0..1_000_000).find_map(|_| main.send("are you there?", None).err());
        assert_eq!(refused.unwrap().kind(), io::ErrorKind::WouldBlock);
    }
}
