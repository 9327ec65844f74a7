//! Certificates for services that ask who is there: of an authority that they trust, and of another.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority that signs certificates.
pub fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new([]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A folder with the authorities `ours.pem` and `other.pem`, and what they have signed: ours the `service`, at 127.0.0.1, and its
/// `client`, the other one a `stranger`. Each has NAME.pem, with key and certificate, and NAME.key.
pub fn folder(service: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("written");
    let (ours, other) = (authority(), authority());
    write("ours.pem", ours.pem());
    write("other.pem", other.pem());
    for (name, whom, signer) in
        [(service, "127.0.0.1", &ours), ("client", "client", &ours), ("stranger", "client", &other)]
    {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([whom.to_owned()]).expect("parameters");
        // Called as its authority, it would pass for one that has signed itself.
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, signer).expect("a certificate").pem();
        write(&format!("{name}.key"), key.serialize_pem());
        write(&format!("{name}.pem"), key.serialize_pem() + &certificate);
    }
    folder
}
