//! A server's certificate that is refused because of the time, in the error of a connection.

use std::error::Error;
use std::{fmt, io};

use rustls::CertificateError;

/// What is wrong with its time. The texts of rustls contain the time of the check, so they would be another error at
/// each attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfTime {
    /// It was valid once.
    Expired,
    /// It will be.
    NotYetValid,
}

impl fmt::Display for OutOfTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "its certificate has expired, by this host's clock",
            Self::NotYetValid => "its certificate is not valid yet, by this host's clock",
        })
    }
}

/// The reason of an error, if it is that.
pub fn out_of_time(error: &(dyn Error + 'static)) -> Option<OutOfTime> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
            return reason(why);
        }
        // What an I/O error wraps is not its source, but has the same source.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn reason(why: &CertificateError) -> Option<OutOfTime> {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Some(OutOfTime::Expired)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Some(OutOfTime::NotYetValid)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    /// As hyper-rustls hands it on: in two I/O errors.
    fn wrapped(why: CertificateError) -> io::Error {
        let error = rustls::Error::InvalidCertificate(why);
        io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn the_reason_has_no_time_in_it() {
        for now in [2_000, 3_000] {
            let expired = CertificateError::ExpiredContext { time: at(now), not_after: at(1_000) };
            let text = out_of_time(&wrapped(expired)).unwrap().to_string();
            assert_eq!(text, "its certificate has expired, by this host's clock");
            let early =
                CertificateError::NotValidYetContext { time: at(now), not_before: at(9_000) };
            let text = out_of_time(&wrapped(early)).unwrap().to_string();
            assert_eq!(text, "its certificate is not valid yet, by this host's clock");
        }
        let direct = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert!(out_of_time(&direct).is_some());
        assert!(out_of_time(&wrapped(CertificateError::UnknownIssuer)).is_none());
        assert!(out_of_time(&io::Error::other("no TLS at all")).is_none());
    }
}
