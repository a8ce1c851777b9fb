//! Hostile and usual texts.

use super::*;

fn names(text: &str) -> Vec<(String, Vec<String>)> {
    parse(text).unwrap().into_iter().map(|statement| (statement.name, statement.words)).collect()
}

fn words(text: &str) -> Vec<String> {
    let mut all = names(text);
    assert_eq!(all.len(), 1, "{text:?}");
    all.remove(0).1
}

#[test]
fn words_are_told_apart_as_nginx_does() {
    for (text, expected) in [
        ("a b c;", &["b", "c"][..]),
        ("a\tb\r\n c ;", &["b", "c"]),
        ("a \"b c\" 'd;e';", &["b c", "d;e"]),
        ("a \"it's\" 'say \"x\"';", &["it's", "say \"x\""]),
        (r#"a "b\"c" 'd\'e' f\;g;"#, &["b\"c", "d'e", "f\\;g"]),
        (r#"a "\t\r\n\\" "\d\.";"#, &["\t\r\n\\", "\\d\\."]),
        ("a b#c # d\n e;", &["b#c", "e"]),
        ("a \"b # c\";", &["b # c"]),
        ("a ${b}c $d;", &["${b}c", "$d"]),
        ("a b}c;", &["b}c"]),
        ("a \"\" '';", &["", ""]),
        ("a b'c\"d;", &["b'c\"d"]),
        ("a b", &["b"]),
        ("a é\u{a0}b;", &["é\u{a0}b"]),
    ] {
        assert_eq!(words(text), expected, "{text:?}");
    }
}

#[test]
fn a_comment_begins_where_a_word_could_and_ends_with_its_line() {
    for text in ["", " \t\r\n", "# a", "# a;\r\n# b { }", "#;\n#{", "# a\rdeny all;"] {
        assert_eq!(names(text), [], "{text:?}");
    }
    let all = names("# a\na b; # c;\nd;#e\nf");
    assert_eq!(all.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["a", "d", "f"]);
}

#[test]
fn blocks_hold_statements() {
    let all = parse("location = /x { deny all; return 403 \"no\"; }\nif ($a ~ \"b{2}\") { set $c d; }").unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!((&*all[0].name, &all[0].words[..]), ("location", &["=".to_owned(), "/x".to_owned()][..]));
    let inner = all[0].block.as_ref().unwrap();
    assert_eq!(inner.iter().map(|statement| &*statement.name).collect::<Vec<_>>(), ["deny", "return"]);
    assert_eq!((all[0].line, all[1].line), (1, 2));
    assert_eq!(all[1].words, ["($a", "~", "b{2}", ")"]);
    assert_eq!(parse("a {}").unwrap()[0].block, Some(Vec::new()));
}

#[test]
fn lua_is_one_block_however_it_reads() {
    let text = "a b;\naccess_by_lua_block {\n  if t == {} then exit(403) end\n}\nc d;";
    let found: Vec<_> = parse(text).unwrap().into_iter().map(|one| (one.name, one.block, one.line)).collect();
    let told = |name: &str, block, line| (name.to_owned(), block, line);
    assert_eq!(found, [told("a", None, 1), told("access_by_lua_block", Some(Vec::new()), 2), told("c", None, 5)]);
    let open = parse("a;\nlog_by_lua_block { if {} then").unwrap_err();
    assert_eq!((open.why, open.line), ("has a block that is not closed", 2));
}

#[test]
fn what_is_no_configuration_says_where() {
    let deep = "a {".repeat(17) + &"}".repeat(17);
    let many = "a;".repeat(2_001);
    let wide = format!("a{};", " b".repeat(1_001));
    let long = " ".repeat(LONGEST + 1);
    for (text, why, line) in [
        ("a \"b", "has a quote that is not closed", 1),
        ("a 'b\n\n", "has a quote that is not closed", 1),
        ("a \"b\"c;", "has text directly behind a quote", 1),
        ("a \"b\"}", "has text directly behind a quote", 1),
        ("\na }", "has a statement without a ; at its end", 2),
        ("}", "has a } without a {", 1),
        ("{ a; }", "has a block without a name", 1),
        (";", "has a ; without a statement", 1),
        ("a { b; ", "has a { without a }", 1),
        ("a { b }", "has a statement without a ; at its end", 1),
        ("a { b", "has a statement without a ; at its end", 1),
        ("a b\\", "ends with a backslash", 1),
        ("a b\0c;", "has a NUL", 1),
        (&deep, "has blocks within blocks too deep", 1),
        (&many, "has more than 2,000 statements", 1),
        (&wide, "has a statement of more than 1,000 words", 1),
        (&long, "is longer than 64 KiB", 1),
    ] {
        assert_eq!(parse(text), Err(Fault { why, line }), "{:?}", text.get(..40).unwrap_or(text));
    }
}

#[test]
fn what_is_printed_is_read_as_the_same() {
    for text in [
        "a b 'c d' \"e\\\"f\\\\g\" ${h}i \"\" \"\\t\\n\\r\";",
        "a { b c; d { } } e \"}\" \"{\" \"#x\" ;",
        "more_set_headers -s '404 500' \"X-A: é\";",
    ] {
        let mut first = parse(text).unwrap();
        let printed: String = first.iter().map(|statement| format!("{statement}\n")).collect();
        let mut second = parse(&printed).unwrap();
        for statement in first.iter_mut().chain(&mut second) {
            unplace(statement);
        }
        assert_eq!(first, second, "{printed}");
    }
}

fn unplace(statement: &mut Statement) {
    statement.line = 0;
    statement.block.iter_mut().flatten().for_each(unplace);
}
