//! The routing form of a path once more, one character after the other, slow and plain: what the real one is held to.

/// What is forwarded and what is matched; `None` if the path is refused.
pub(crate) fn forms(raw: &str) -> Option<(String, String)> {
    let rest = raw.strip_prefix('/')?;
    let mut changed = false;
    let mut kept: Vec<String> = Vec::new();
    let segments: Vec<&str> = rest.split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let name = decode(segment, &mut changed)?;
        let is_last = index + 1 == segments.len();
        if name == "." || name == ".." {
            changed = true;
            if name == ".." {
                kept.pop()?;
            }
            if is_last {
                kept.push(String::new());
            }
        } else {
            kept.push(name);
        }
    }
    let routing = format!("/{}", kept.join("/"));
    let mut matching = routing.clone();
    while matching.contains("//") {
        matching = matching.replace("//", "/");
    }
    Some((if changed { routing } else { raw.to_owned() }, matching))
}

fn decode(segment: &str, changed: &mut bool) -> Option<String> {
    let mut name = String::new();
    let mut chars = segment.chars();
    while let Some(char) = chars.next() {
        if !('!'..='~').contains(&char) || char == '#' || char == '?' {
            return None;
        }
        if char != '%' {
            name.push(char);
            continue;
        }
        let digits: String = chars.by_ref().take(2).collect();
        if digits.len() != 2 || !digits.chars().all(|digit| digit.is_ascii_hexdigit()) || digits == "00" {
            return None;
        }
        let octet = char::from(u8::from_str_radix(&digits, 16).ok()?);
        if octet.is_ascii_alphanumeric() || "-._~".contains(octet) {
            *changed = true;
            name.push(octet);
        } else {
            name.push('%');
            name.push_str(&digits.to_uppercase());
        }
    }
    Some(name)
}
