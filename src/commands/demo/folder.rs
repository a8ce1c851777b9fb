//! The manifest folder of the demo: the sample shop, and who removes it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::backends::Backends;
use crate::controller::seconds_since_epoch;
use crate::snapshot::secret::limit_validity;

/// How long the sample's certificates are good; each start makes new ones.
const VALID_DAYS: u16 = 30;
/// The file to edit.
pub(super) const SHOP: &str = "shop.yaml";
/// Certificate authority of the sample's certificate, for curl.
pub(super) const AUTHORITY: &str = "ca.pem";
/// Endpoints of the back ends: written at each start, since their ports change.
const ENDPOINTS: &str = "backends.yaml";
/// The Secret, made at each start.
const SECRET: &str = "tls.yaml";

/// Where the manifests are.
pub(super) struct Folder {
    path: PathBuf,
    /// Ours to remove.
    is_temporary: bool,
    /// Holds the sample shop, not somebody's own manifests.
    is_sample: bool,
}

impl Folder {
    /// A folder of our own below `parent`, removed in the end.
    pub(super) fn temporary(parent: &Path, backends: &Backends) -> io::Result<Folder> {
        let name = format!("fairlead-demo-{:08x}", fastrand::u32(..));
        // Only for us: it holds a private key.
        let path = parent.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        let folder = Folder { path, is_temporary: true, is_sample: true };
        folder.write_sample(backends)?;
        Ok(folder)
    }

    /// The folder `path`, kept in the end. The sample is written if it is new or empty; a sample of an earlier run gets
    /// the present endpoints and a new certificate; anything else is used as it is.
    pub(super) fn kept(path: &Path, backends: &Backends) -> io::Result<Folder> {
        DirBuilder::new().mode(0o700).recursive(true).create(path)?;
        let is_empty = fs::read_dir(path)?.next().is_none();
        let is_sample = is_empty || path.join(ENDPOINTS).exists() && path.join(AUTHORITY).exists();
        // Absolute, so that the printed lines work from every directory.
        let folder = Folder { path: path.canonicalize()?, is_temporary: false, is_sample };
        if is_sample {
            folder.write_sample(backends)?;
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_sample(&self) -> bool {
        self.is_sample
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.is_temporary
    }

    fn write_sample(&self, backends: &Backends) -> io::Result<()> {
        let (authority, secret) = certificate(seconds_since_epoch()).map_err(io::Error::other)?;
        fs::write(self.path.join(AUTHORITY), authority)?;
        self.write_private(SECRET, &secret)?;
        fs::write(self.path.join(ENDPOINTS), endpoints(backends))?;
        for (name, text) in [(SHOP, SHOP_TEXT), ("site.yaml", SITE_TEXT), ("tenants.yaml", TENANTS_TEXT)] {
            let path = self.path.join(name);
            if !path.exists() {
                fs::write(path, text)?;
            }
        }
        Ok(())
    }

    fn write_private(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.path.join(name);
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        io::Write::write_all(&mut file, text.as_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A certificate authority (PEM) and the Secret with a certificate of it for the shop, both valid for
/// [`VALID_DAYS`] from `now` (seconds since the epoch). The authority's key is forgotten.
fn certificate(now: i64) -> Result<(String, String), rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.distinguished_name.push(DnType::CommonName, "Fairlead demo");
    limit_validity(&mut authority, now, VALID_DAYS);
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let mut shop = CertificateParams::new(vec!["shop.localhost".to_owned()])?;
    shop.distinguished_name.push(DnType::CommonName, "shop.localhost");
    limit_validity(&mut shop, now, VALID_DAYS);
    shop.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = shop.signed_by(&key, &Issuer::from_params(&authority, &authority_key))?;
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: shop-tls\n  namespace: shop\ntype: kubernetes.io/tls\n\
         stringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indented(&certificate.pem()),
        indented(&key.serialize_pem()),
    );
    Ok((authority_pem, secret))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// Services, EndpointSlices and Pods as a cluster would have them.
fn endpoints(backends: &Backends) -> String {
    let mut text = String::from(
        "# Services and where their endpoints are: the back ends inside the demo. Written at each start.\n\
         # The Pods are here for their weights only.\n",
    );
    for (service, servers) in
        [("web", &["web"][..]), ("api", &["api-light", "api-heavy"]), ("site", &["site"]), ("tenants", &["tenants"])]
    {
        let annotations = match service {
            // So that requests one after the other show the weights.
            "api" => "\n  annotations:\n    fairlead.dev/load-balance: round_robin",
            _ => "",
        };
        text.push_str(&format!(
            "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {service}\n  namespace: shop{annotations}\n\
             spec:\n  ports:\n  - name: http\n    port: 80\n"
        ));
        for server in servers {
            text.push_str(&format!(
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {server}\n  \
                 namespace: shop\n  labels:\n    kubernetes.io/service-name: {service}\naddressType: IPv4\nports:\n\
                 - name: http\n  port: {}\nendpoints:\n- addresses: [127.0.0.1]\n  conditions:\n    ready: true\n  \
                 targetRef:\n    kind: Pod\n    name: {server}\n    namespace: shop\n",
                backends.port(server)
            ));
        }
    }
    for (pod, weight) in [("api-light", 1), ("api-heavy", 3)] {
        text.push_str(&format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {pod}\n  namespace: shop\n  labels:\n    \
             fairlead.dev/weight: \"{weight}\"\n"
        ));
    }
    text
}

const SHOP_TEXT: &str = r#"# A shop over TLS: the page, and below /api two servers of weight 1 and 3.
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  namespace: shop
spec:
  tls:
  - hosts: [shop.localhost]
    secretName: shop-tls
  rules:
  - host: shop.localhost
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service: {name: web, port: {name: http}}
      - path: /api
        pathType: Prefix
        backend:
          service: {name: api, port: {name: http}}
"#;

const SITE_TEXT: &str = r#"# A static site over plain HTTP.
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: site
  namespace: shop
spec:
  rules:
  - host: site.localhost
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service: {name: site, port: {name: http}}
"#;

const TENANTS_TEXT: &str = r#"# Every host one label below tenants.localhost.
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: tenants
  namespace: shop
spec:
  rules:
  - host: "*.tenants.localhost"
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service: {name: tenants, port: {number: 80}}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_goes_with_its_owner_and_a_kept_one_keeps_what_was_edited() {
        let parent = tempfile::tempdir().unwrap();
        let backends = Backends::start().unwrap();
        let folder = Folder::temporary(parent.path(), &backends).unwrap();
        let path = folder.path().to_owned();
        assert!(path.join(SHOP).exists());
        drop(folder);
        assert!(!path.exists());

        let path = parent.path().join("kept");
        drop(Folder::kept(&path, &backends).unwrap());
        fs::write(path.join(SHOP), "# mine\n").unwrap();
        let again = Folder::kept(&path, &backends).unwrap();
        assert!(again.is_sample());
        assert_eq!(fs::read_to_string(path.join(SHOP)).unwrap(), "# mine\n");
    }

    #[test]
    fn somebody_elses_folder_is_used_as_it_is() {
        let own = tempfile::tempdir().unwrap();
        fs::write(own.path().join("a.yaml"), "").unwrap();
        let folder = Folder::kept(own.path(), &Backends::start().unwrap()).unwrap();
        assert!(!folder.is_sample());
        drop(folder);
        assert_eq!(fs::read_dir(own.path()).unwrap().count(), 1);
    }
}
