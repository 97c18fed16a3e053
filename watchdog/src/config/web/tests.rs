use super::*;

const HASH: &str = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze";

fn parse(text: &str) -> Result<WebConfig, String> {
    WebConfig::parse(Path::new("/etc/web.yml"), text).map_err(|error| error.to_string())
}

#[test]
fn a_file_of_the_exporters_is_understood() {
    let text = format!(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: /keys/server.key\n  \
         client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  min_version: TLS13\n  \
         prefer_server_cipher_suites: false\n  curve_preferences: [CurveP256]\n  \
         cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n\
         http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n\
         basic_auth_users:\n  alice: {HASH}\n"
    );
    let web = parse(&text).unwrap();
    let tls = web.tls.clone().unwrap();
    assert_eq!(tls.certificate, Pem::File("/etc/server.crt".into()));
    assert_eq!(tls.client_auth, ClientAuth::Required);
    assert_eq!((tls.tls12, tls.tls13, tls.server_order), (false, true, false));
    assert_eq!(tls.curves, ["CurveP256"]);
    assert!(web.wants_http2);
    assert_eq!(web.headers, [("X-Frame-Options".to_owned(), "deny".to_owned())]);
    assert_eq!(web.users["alice"], HASH);
    let files: Vec<_> = web.files().collect();
    assert_eq!(files, ["/etc/server.crt", "/keys/server.key", "/etc/ca.crt"].map(Path::new));
}

#[test]
fn an_empty_file_protects_nothing_and_is_none_the_worse() {
    for text in ["", "# nothing yet\n\n"] {
        assert_eq!(parse(text).unwrap(), WebConfig::default());
    }
}

#[test]
fn what_cannot_be_kept_is_refused_by_name_and_line() {
    let tls = "tls_server_config:\n  cert_file: a\n  key_file: b\n";
    let users = "basic_auth_users:\n";
    for (text, line, words) in [
        ("tls_sever_config: {}\n".to_owned(), 1, &["tls_sever_config", "tls_server_config"][..]),
        (format!("{tls}  certfile: x\n"), 4, &["certfile", "cert_file"]),
        (format!("{tls}  client_allowed_sans: [a]\n"), 4, &["client_allowed_sans is not supported"]),
        (format!("{tls}  client_auth_type: RequireAnyClientCert\n"), 4, &["RequireAndVerifyClientCert"]),
        (format!("{tls}  client_auth_type: Some\n"), 4, &["\"Some\"", "VerifyClientCertIfGiven"]),
        (format!("{tls}  min_version: TLS10\n"), 4, &["min_version TLS10"]),
        (format!("{tls}  max_version: SSL3\n"), 4, &["expected TLS12 or TLS13"]),
        (format!("{tls}  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n"), 4, &["TLS_RSA_WITH_RC4_128_SHA"]),
        (format!("{tls}  curve_preferences:\n  - CurveP256\n  - CurveP521\n"), 6, &["CurveP521"]),
        (format!("{tls}  cert: x\n"), 4, &["cert and cert_file"]),
        ("rate_limit:\n  burst: 1\n".to_owned(), 2, &["rate_limit is not supported"]),
        ("http_server_config:\n  headers:\n    X-Mine: x\n".to_owned(), 3, &["X-Mine", "X-Frame-Options"]),
        ("http_server_config:\n  http3: true\n".to_owned(), 2, &["http3"]),
        (format!("{users}  a: secret\n"), 2, &["no bcrypt hash"]),
        (format!("{users}  a: {}\n", HASH.replace("$10$", "$20$")), 2, &["cost of 20"]),
        (format!("{users}  'a:b': {HASH}\n"), 2, &["holds no colon"]),
        (format!("{users}  a: {HASH}\n  a: {HASH}\n"), 3, &["a"]),
        ("tls_server_config: [\n".to_owned(), 1, &[]),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.starts_with(&format!("/etc/web.yml:{line}: ")), "{text}\n{error}");
        assert!(!error.contains('\n') && !error.contains(" at line "), "{error}");
        for word in words {
            assert!(error.contains(word), "{word} in: {error}");
        }
    }
    for text in ["tls_server_config:\n  cert_file: a\n".to_owned(), format!("{tls}  client_ca_file: c\n")] {
        assert!(
            parse(&text).unwrap_err().contains("tls_server_config") || text.contains("client_ca"),
            "{text}"
        );
    }
    let missing = WebConfig::load(Path::new("/nowhere/web.yml")).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/web.yml"), "{missing}");
}

#[test]
fn a_file_that_is_too_large_is_refused_and_not_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yml");
    let size = usize::try_from(MAX_BYTES).unwrap();
    let users = format!("basic_auth_users:\n  alice: {HASH}\n");
    let padded = |size: usize| format!("{}\n{users}", "#".repeat(size - users.len() - 1));
    std::fs::write(&path, padded(size)).unwrap();
    assert_eq!(WebConfig::load(&path).unwrap().users.len(), 1);
    std::fs::write(&path, padded(size + 1)).unwrap();
    let error = anyhow::Error::from(WebConfig::load(&path).unwrap_err());
    assert!(format!("{error:#}").ends_with("it is larger than 1024 KiB"), "{error:#}");
}

#[test]
fn a_message_steers_no_terminal() {
    let error = parse("\"\\e[31m\\u202eowned\": 1\n").unwrap_err();
    assert!(error.contains("owned") && !error.contains(['\u{1b}', '\u{202e}']), "{error:?}");
}

#[test]
fn a_hash_says_its_cost() {
    assert_eq!(cost(HASH), Some(10));
    for bad in ["", "x", "$2y$10$short", "$1$10$mDwo", &HASH.replace("$10$", "$3$"), &HASH.replace('.', "!")]
    {
        assert_eq!(cost(bad), None, "{bad}");
    }
}
