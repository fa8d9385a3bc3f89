//! Pulling from a registry on loopback: one that speaks the read side of the protocol as it was told to, well or badly.

#![expect(clippy::unwrap_used, reason = "these are tests, their helper functions too")]

use foreshock_registry::{Cache, Digest, Limits, PullError, Reference, component};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

const COMPONENT: &[u8] = b"\0asm, or so it says";

/// What the registry answers for a path: status, headers, body. `None` keeps silent until the asker leaves.
type Answer = Option<(u16, Vec<(&'static str, String)>, Vec<u8>)>;

/// A request as it was heard: the path, and what stood in `authorization`.
type Heard = (String, Option<String>);

/// A registry on loopback.
struct Registry {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Registry {
    /// Answers with what `answers` gives for its address.
    fn start(answers: impl FnOnce(SocketAddr) -> BTreeMap<String, Answer> + Send + 'static) -> Self {
        Self::start_with(|address| {
            let answers = answers(address);
            move |path: &str, _: Option<&str>| answers.get(path).cloned().unwrap_or_else(|| Some((404, vec![], vec![])))
        })
    }

    fn start_with<A: Fn(&str, Option<&str>) -> Answer + Send + Sync + 'static>(
        answers: impl FnOnce(SocketAddr) -> A,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(answers(address));
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let all = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answers, heard) = (Arc::clone(&answers), Arc::clone(&all));
                std::thread::spawn(move || serve(&stream.unwrap(), &*answers, &heard));
            }
        });
        Self { address, heard }
    }

    fn reference(&self, digest: Digest) -> Reference {
        format!("oci://{}/acme/orders@{digest}", self.address).parse().unwrap()
    }

    fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

/// Reads requests of one connection and answers them.
fn serve(mut stream: &TcpStream, answers: &dyn Fn(&str, Option<&str>) -> Answer, heard: &Mutex<Vec<Heard>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut authorization = None;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 || header.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("authorization")
            {
                authorization = Some(value.trim().to_owned());
            }
        }
        let answer = answers(&path, authorization.as_deref());
        heard.lock().unwrap().push((path, authorization));
        let Some((status, headers, body)) = answer else {
            let _ = reader.read_line(&mut String::new());
            return;
        };
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        if stream.write_all(head.as_bytes()).is_err() || stream.write_all(&body).is_err() {
            return;
        }
    }
}

fn manifest(digest: Digest, size: usize) -> Vec<u8> {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.wasm.config.v0+json","digest":"{}","size":2}},"layers":[{{"mediaType":"application/wasm","digest":"{digest}","size":{size}}}]}}"#,
        Digest::of(b"{}")
    )
    .into_bytes()
}

fn good_manifest() -> Vec<u8> {
    manifest(Digest::of(COMPONENT), COMPONENT.len())
}

fn manifest_path() -> String {
    format!("/v2/acme/orders/manifests/{}", Digest::of(&good_manifest()))
}

fn blob_path() -> String {
    format!("/v2/acme/orders/blobs/{}", Digest::of(COMPONENT))
}

fn ok(body: &[u8]) -> Answer {
    Some((200, vec![], body.to_vec()))
}

fn pull(registry: &Registry) -> Result<Arc<[u8]>, PullError> {
    component(&registry.reference(Digest::of(&good_manifest())), None, &Limits::default())
}

/// A component is asked for once; after that the registry may be gone. A cache that somebody changed is asked again and mended, and
/// nobody else can read it.
#[test]
fn a_component_is_fetched_once_and_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("state/components");
    let cache = Cache::new(&kept);
    let registry =
        Registry::start(|_| BTreeMap::from([(manifest_path(), ok(&good_manifest())), (blob_path(), ok(COMPONENT))]));
    let reference = registry.reference(Digest::of(&good_manifest()));
    let fetch = || component(&reference, Some(&cache), &Limits::default()).unwrap();
    assert_eq!(&*fetch(), COMPONENT);
    assert_eq!(registry.heard(), [(manifest_path(), None), (blob_path(), None)]);
    assert_eq!(&*fetch(), COMPONENT);
    assert_eq!(registry.heard(), []);
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o700);
    let files: Vec<_> = std::fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    for file in files {
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&file, "changed").unwrap();
        assert_eq!(&*fetch(), COMPONENT);
        assert_eq!(registry.heard().len(), 2, "a changed file is as good as none");
    }
    let gone: Reference = format!("oci://127.0.0.1:1/other/name@{}", reference.digest).parse().unwrap();
    assert_eq!(&*component(&gone, Some(&cache), &Limits::default()).unwrap(), COMPONENT);
}

/// A registry that wants a token gets the one that everybody gets, for what is asked and from where it says; a redirect to elsewhere does
/// not get to see it.
#[test]
fn tokens_are_fetched_and_shown_to_nobody_else() {
    let store = Registry::start(|_| BTreeMap::from([("/store/blob?signature=1".to_owned(), ok(COMPONENT))]));
    let elsewhere = store.address;
    let registry = Registry::start_with(move |own| {
        move |path: &str, authorization: Option<&str>| {
            if path.starts_with("/token") {
                return ok(br#"{"token":"for-everybody","expires_in":60}"#);
            }
            if authorization != Some("Bearer for-everybody") {
                let challenge =
                    format!(r#"Bearer realm="http://{own}/token",service="here",scope="repository:acme/orders:pull""#);
                return Some((401, vec![("www-authenticate", challenge)], vec![]));
            }
            if path == manifest_path() {
                return ok(&good_manifest());
            }
            Some((307, vec![("location", format!("http://{elsewhere}/store/blob?signature=1"))], vec![]))
        }
    });
    assert_eq!(&*pull(&registry).unwrap(), COMPONENT);
    let token = Some("Bearer for-everybody".to_owned());
    assert_eq!(
        registry.heard(),
        [
            (manifest_path(), None),
            ("/token?service=here&scope=repository%3Aacme%2Forders%3Apull".to_owned(), None),
            (manifest_path(), token.clone()),
            (blob_path(), token)
        ]
    );
    assert_eq!(store.heard(), [("/store/blob?signature=1".to_owned(), None)]);
}

/// Bytes that are not what the digest says are never a component, whichever of the two is wrong, and are not kept.
#[test]
fn other_bytes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path());
    let longer = [COMPONENT, b"!"].concat();
    let other_size = manifest(Digest::of(COMPONENT), COMPONENT.len() + 1);
    for (manifest, blob, asked, why) in [
        (b"{}".to_vec(), COMPONENT.to_vec(), good_manifest(), "the manifest does not have the digest"),
        (good_manifest(), COMPONENT[..10].to_vec(), good_manifest(), "the component does not have the digest"),
        (good_manifest(), longer, good_manifest(), "the component is larger than"),
        (other_size.clone(), COMPONENT.to_vec(), other_size, "another size"),
    ] {
        let path = format!("/v2/acme/orders/manifests/{}", Digest::of(&asked));
        let registry = Registry::start(move |_| BTreeMap::from([(path, ok(&manifest)), (blob_path(), ok(&blob))]));
        let reference = registry.reference(Digest::of(&asked));
        let said = component(&reference, Some(&cache), &Limits::default()).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

/// Size and time are bounded whatever the registry says or does not say.
#[test]
fn size_and_time_are_bounded() {
    let registry =
        Registry::start(|_| BTreeMap::from([(manifest_path(), ok(&good_manifest())), (blob_path(), ok(COMPONENT))]));
    let reference = registry.reference(Digest::of(&good_manifest()));
    let with = |limits: Limits| component(&reference, None, &limits).unwrap_err().to_string();
    let small = with(Limits { manifest_bytes: 10, ..Limits::default() });
    assert_eq!(small, "the manifest is larger than the 10 bytes that are fetched");
    registry.heard();
    let small = with(Limits { component_bytes: 5, ..Limits::default() });
    assert_eq!(small, "the component is larger than the 5 bytes that are fetched");
    assert_eq!(registry.heard(), [(manifest_path(), None)], "a blob that is too large is not even asked for");

    let silent = Registry::start(|_| BTreeMap::from([(manifest_path(), None)]));
    let reference = silent.reference(Digest::of(&good_manifest()));
    let limits = Limits { time: Duration::from_millis(300), ..Limits::default() };
    assert!(matches!(component(&reference, None, &limits), Err(PullError::Late(_))));
}

/// What can go wrong on the way is told apart, in words that say where.
#[test]
fn refusals_say_what_to_do() {
    let answer = |status: u16, headers: Vec<(&'static str, String)>, body: &'static [u8]| {
        let registry =
            Registry::start(move |_| BTreeMap::from([(manifest_path(), Some((status, headers, body.to_vec())))]));
        (registry.address, pull(&registry).unwrap_err())
    };
    let (address, error) = answer(404, vec![], br#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#);
    let at = format!("http://{address}{}", manifest_path());
    assert_eq!(
        error.to_string(),
        format!(r#"`{at}` answered 404 Not Found: {{"errors":[{{"code":"MANIFEST_UNKNOWN"}}]}}"#)
    );
    let (address, error) = answer(401, vec![("www-authenticate", "Basic realm=\"private\"".to_owned())], b"");
    assert!(error.to_string().starts_with(&format!("`{address}` wants credentials")), "{error}");
    for to in ["ftp://x/", "http://192.0.2.1/blob", "", "//x/y", "http://user@127.0.0.1/"] {
        let (_, error) = answer(302, vec![("location", to.to_owned())], b"");
        assert!(matches!(error, PullError::Unsafe { .. }), "{to}: {error}");
    }
    let (_, error) = answer(302, vec![("location", manifest_path())], b"");
    assert!(error.to_string().contains("again and again"), "{error}");
    let realm = "Bearer realm=\"http://192.0.2.1/token\"".to_owned();
    let (_, error) = answer(401, vec![("www-authenticate", realm)], b"");
    assert!(matches!(error, PullError::Unsafe { .. }), "{error}");

    let nobody: Reference = format!("oci://127.0.0.1:1/a@{}", Digest::of(b"")).parse().unwrap();
    let error = component(&nobody, None, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("`http://127.0.0.1:1/v2/a/manifests/sha256:"), "{error}");
}
