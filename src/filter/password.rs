//! Comparing a password with what an htpasswd file stores.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use md5::{Digest, Md5};
use sha_crypt::{PasswordVerifier, ShaCrypt};

use crate::ir::Password;

/// Whether `given` is the password. Takes milliseconds where the hash was made to.
pub fn is_right(given: &[u8], stored: &Password) -> bool {
    match stored {
        Password::Plain(text) => verify_slices_are_equal(given, text).is_ok(),
        Password::Sha1 { digest, salt } => {
            let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
            context.update(given);
            context.update(salt);
            verify_slices_are_equal(context.finish().as_ref(), digest).is_ok()
        }
        Password::Md5 { magic, salt, digest } => {
            let made = md5_crypt(given, magic, salt.as_bytes());
            verify_slices_are_equal(made.as_bytes(), digest.as_bytes()).is_ok()
        }
        Password::Bcrypt(hash) => bcrypt::verify(given, hash).unwrap_or(false),
        Password::ShaCrypt(hash) => ShaCrypt::default().verify_password(given, &**hash).is_ok(),
    }
}

/// MD5-crypt (Poul-Henning Kamp, FreeBSD 2.0), with the magic of Apache or FreeBSD: the 22 characters behind the salt.
fn md5_crypt(password: &[u8], magic: &str, salt: &[u8]) -> String {
    let digest = |parts: &[&[u8]]| -> [u8; 16] {
        let mut md5 = Md5::new();
        parts.iter().for_each(|part| md5.update(part));
        md5.finalize().into()
    };
    let inner = digest(&[password, salt, password]);
    let mut md5 = Md5::new();
    md5.update(password);
    md5.update(magic.as_bytes());
    md5.update(salt);
    for piece in password.chunks(16) {
        md5.update(inner.get(..piece.len()).unwrap_or_default());
    }
    // The algorithm takes a zero octet or the password's first for each bit of its length.
    let mut length = password.len();
    while length > 0 {
        md5.update(if length & 1 == 1 { &[0] } else { password.get(..1).unwrap_or_default() });
        length >>= 1;
    }
    let mut hash: [u8; 16] = md5.finalize().into();
    for round in 0..1000 {
        let (first, last): (&[u8], &[u8]) = if round % 2 == 1 { (password, &hash) } else { (&hash, password) };
        let salt = if round % 3 == 0 { &[][..] } else { salt };
        let more = if round % 7 == 0 { &[][..] } else { password };
        hash = digest(&[first, salt, more, last]);
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = hash;
    let mut text = String::with_capacity(22);
    for (high, middle, low) in [(a, g, m), (b, h, n), (c, i, o), (d, j, p), (e, k, f)] {
        characters(&mut text, u32::from(high) << 16 | u32::from(middle) << 8 | u32::from(low), 4);
    }
    characters(&mut text, l.into(), 2);
    text
}

/// Six bits a character, the lowest first.
fn characters(text: &mut String, mut bits: u32, count: usize) {
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for _ in 0..count {
        text.push(char::from(ALPHABET.get(bits as usize & 63).copied().unwrap_or_default()));
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_crypt_gives_what_openssl_passwd_gives() {
        for (magic, salt, password, digest) in MD5 {
            assert_eq!(md5_crypt(password.as_bytes(), magic, salt.as_bytes()), *digest, "{magic}{salt} {password}");
        }
    }

    /// Made with `openssl passwd -apr1 -salt SALT PASSWORD` and `-1`.
    const MD5: &[(&str, &str, &str, &str)] = &[
        ("$apr1$", "abcdefgh", "secret", "h9FWgUz3n9YxylKLlR5SQ/"),
        ("$apr1$", "x", "a", "16j9.5e7KiXmuYFAYpPJM/"),
        ("$apr1$", "12345678", "a much longer password than sixteen octets", "bobgxEef1bshWvKyGxYL91"),
        ("$1$", "abcdefgh", "secret", "cHJi5PXp/ki/ktXzqlk6I1"),
        ("$1$", "x", "a", "P8VObTrxaqT4VBmnH06P8."),
        ("$1$", "12345678", "a much longer password than sixteen octets", "p7l.ORJsKPE2IXn8S.ekA."),
    ];

    #[test]
    fn the_right_password_is_right_and_no_other() {
        let stored = [
            Password::Plain(b"secret"[..].into()),
            Password::Bcrypt("$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW".into()),
            Password::ShaCrypt("$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA".into()),
            Password::ShaCrypt(
                "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1"
                    .into(),
            ),
            Password::Md5 { magic: "$apr1$", salt: "abcdefgh".into(), digest: "h9FWgUz3n9YxylKLlR5SQ/".into() },
        ];
        for stored in &stored {
            assert!(is_right(b"secret", stored));
            for wrong in ["Secret", "secret ", "", "secre"] {
                assert!(!is_right(wrong.as_bytes(), stored), "{wrong}");
            }
        }
        assert!(!is_right(b"x", &Password::Bcrypt("$2y$junk".into())), "junk is nobody's password");
        assert!(!is_right(b"x", &Password::ShaCrypt("$6$".into())));
    }
}
