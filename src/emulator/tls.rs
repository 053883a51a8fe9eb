//! Certificates for clients that insist on TLS.
//!
//! A folder holds two files: `ca.pem`, which clients are told to trust, and
//! `server.pem`, the server's certificate and key. The authority's own key is
//! thrown away as soon as it has signed that one certificate, so that trusting
//! `ca.pem` never lets anybody else in. Both are used again while they are
//! valid, and made anew when not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{Datelike, Days, NaiveDate, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{RootCertStore, ServerConfig};

use super::proxy::HOSTS;

/// Apple's clients take no certificate that is valid for longer than 398 days.
const VALID_DAYS: u64 = 390;

/// Certificates that end sooner are made anew.
const REST: Duration = Duration::from_secs(2 * 86_400);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("Cannot keep the certificates in `{}`", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The certificates cannot be made.
    #[error("Cannot make the certificates")]
    Making(#[from] rcgen::Error),
    /// The certificates cannot be used.
    #[error("Cannot use the certificates")]
    Using(#[from] rustls::Error),
}

/// The certificate that clients must trust.
pub(crate) fn ca_file(folder: &Path) -> PathBuf {
    folder.join("ca.pem")
}

/// Reads the certificates of a folder, or makes them.
pub(crate) fn prepare(folder: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { path, source }
    };
    if folder.is_file() {
        let source = io::Error::new(io::ErrorKind::NotADirectory, "It is a file: name a folder");
        return Err(at(folder)(source));
    }
    fs::create_dir_all(folder).map_err(at(folder))?;
    // Emulators that start at once must end up with the same certificates.
    let lock_file = folder.join("lock");
    let lock = File::create(&lock_file).map_err(at(&lock_file))?;
    lock.lock().map_err(at(&lock_file))?;
    if let Some(config) = usable(folder, SystemTime::now() + REST) {
        return Ok(config);
    }
    // A key must not find its way into somebody's repository.
    let ignore = folder.join(".gitignore");
    fs::write(&ignore, "*\n").map_err(at(&ignore))?;
    let (authority, server) = make(Utc::now().date_naive())?;
    let server_file = folder.join("server.pem");
    replace(&server_file, &server, true).map_err(at(&server_file))?;
    let ca = ca_file(folder);
    replace(&ca, &authority, false).map_err(at(&ca))?;
    Ok(serving(&server)?)
}

/// The kept certificates, if they are whole, belong together, name every host
/// and are still valid at a time.
fn usable(folder: &Path, until: SystemTime) -> Option<Arc<ServerConfig>> {
    let server = fs::read_to_string(folder.join("server.pem")).ok()?;
    let certificate = CertificateDer::from_pem_slice(server.as_bytes()).ok()?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file(folder)).ok()?).ok()?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = verifier.build().ok()?;
    let until = UnixTime::since_unix_epoch(until.duration_since(UNIX_EPOCH).ok()?);
    for host in HOSTS {
        let name = ServerName::try_from(host).ok()?;
        verifier.verify_server_cert(&certificate, &[], &name, &[], until).ok()?;
    }
    serving(&server).ok()
}

fn serving(server: &str) -> Result<Arc<ServerConfig>, rustls::Error> {
    let unreadable = |error| rustls::Error::General(format!("`server.pem`: {error:?}"));
    let certificate = CertificateDer::from_pem_slice(server.as_bytes()).map_err(unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(server.as_bytes()).map_err(unreadable)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    // Named, because a program with two providers has no default one.
    Arc::new(aws_lc_rs::default_provider())
}

/// An authority's certificate, and a server's with its key, as PEM.
fn make(today: NaiveDate) -> Result<(String, String), rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = valid(CertificateParams::default(), today);
    let name = format!("hublake emulator, made {today}, for tests only");
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    // Python's strict checks miss these when they are not there.
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_certificate = authority.self_signed(&authority_key)?;

    let key = KeyPair::generate()?;
    let names: Vec<String> = HOSTS.iter().map(|host| (*host).to_owned()).collect();
    let mut server = valid(CertificateParams::new(names)?, today);
    server.distinguished_name.push(DnType::CommonName, HOSTS[0]);
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key))?;
    Ok((authority_certificate.pem(), certificate.pem() + &key.serialize_pem()))
}

/// Sets the days of validity: from yesterday, for clocks that are behind.
fn valid(mut params: CertificateParams, today: NaiveDate) -> CertificateParams {
    let day = |day: Option<NaiveDate>| {
        let day = day.unwrap_or(today);
        rcgen::date_time_ymd(day.year(), day.month() as u8, day.day() as u8)
    };
    params.not_before = day(today.pred_opt());
    params.not_after = day(today.checked_add_days(Days::new(VALID_DAYS)));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

/// Puts a file in the place of another, whole or not at all.
fn replace(path: &Path, text: &str, private: bool) -> io::Result<()> {
    let new = path.with_extension("new");
    // What a crash left behind may have other permissions.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(if private { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = private;
    options.open(&new)?.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_used_again_while_they_are_good() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = || fs::read_to_string(ca_file(folder.path())).expect("a certificate");
        prepare(folder.path()).expect("certificates");
        let first = read();
        prepare(folder.path()).expect("the same certificates");
        assert_eq!(read(), first);

        let in_days = |days| SystemTime::now() + Duration::from_secs(days * 86_400);
        assert!(usable(folder.path(), in_days(VALID_DAYS - 1)).is_some());
        assert!(usable(folder.path(), in_days(VALID_DAYS + 1)).is_none());

        fs::write(folder.path().join("server.pem"), "half a fi").expect("a file");
        prepare(folder.path()).expect("new certificates");
        assert_ne!(read(), first, "what is broken is made anew");

        let other = tempfile::tempdir().expect("a folder");
        prepare(other.path()).expect("certificates");
        fs::copy(ca_file(other.path()), ca_file(folder.path())).expect("a copy");
        assert!(usable(folder.path(), in_days(1)).is_none(), "the two do not belong together");
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        prepare(folder.path()).expect("certificates");
        let mode = fs::metadata(folder.path().join("server.pem")).expect("a key").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let all: String = fs::read_dir(folder.path())
            .expect("a folder")
            .filter_map(|file| fs::read_to_string(file.ok()?.path()).ok())
            .collect();
        assert_eq!(all.matches("PRIVATE KEY-----").count(), 2, "the authority's key is nowhere");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("a file");
        let error = prepare(&file.join("certificates")).err().map(|error| error.to_string());
        let named =
            format!("Cannot keep the certificates in `{}`", file.join("certificates").display());
        assert_eq!(error, Some(named));
    }
}
