//! The syntax of nginx's configuration, read strictly and within bounds, so that what a snippet says can be recognised.
//! Nothing here knows what a word means, and nothing is ever run.

mod lexer;

use std::fmt;

use self::lexer::{Lexer, Token};

/// The longest text that is read, in octets.
pub const LONGEST: usize = 64 << 10;
/// Statements of one text, those in blocks included.
const MOST_STATEMENTS: usize = 2_000;
/// Words of one statement.
const MOST_WORDS: usize = 1_000;
/// Blocks within blocks.
const DEEPEST: usize = 16;

/// One statement: a name, what stands behind it, and perhaps a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its name, which is its first word.
    pub name: String,
    /// The words behind the name, without their quotes.
    pub words: Vec<String>,
    /// What stands in its braces, if it has some.
    pub block: Option<Vec<Statement>>,
    /// The line on which it begins, from 1 on.
    pub line: usize,
}

/// Why a text is none of this syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// As a sentence part.
    pub why: &'static str,
    /// The line, from 1 on.
    pub line: usize,
}

/// Reads a text. A statement without a block ends with a semicolon, the last one of the text perhaps without.
pub fn parse(text: &str) -> Result<Vec<Statement>, Fault> {
    if text.len() > LONGEST {
        return Err(Fault { why: "is longer than 64 KiB", line: 1 });
    }
    let mut parser = Parser { lexer: Lexer::new(text), statements: 0 };
    parser.block(0)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    statements: usize,
}

impl Parser<'_> {
    /// The statements up to the brace that closes the block; at depth 0 up to the end of the text.
    fn block(&mut self, depth: usize) -> Result<Vec<Statement>, Fault> {
        let mut statements = Vec::new();
        loop {
            let line = self.lexer.line();
            match self.lexer.next()? {
                Token::Word(name) => statements.push(self.statement(name, depth)?),
                Token::End if depth == 0 => return Ok(statements),
                Token::Close if depth > 0 => return Ok(statements),
                Token::End => return Err(Fault { why: "has a { without a }", line }),
                Token::Close => return Err(Fault { why: "has a } without a {", line }),
                Token::Open => return Err(Fault { why: "has a block without a name", line }),
                Token::Semicolon => return Err(Fault { why: "has a ; without a statement", line }),
            }
        }
    }

    fn statement(&mut self, name: String, depth: usize) -> Result<Statement, Fault> {
        let line = self.lexer.word_line();
        self.statements += 1;
        if self.statements > MOST_STATEMENTS {
            return Err(Fault { why: "has more than 2,000 statements", line });
        }
        let mut words = Vec::new();
        let block = loop {
            match self.lexer.next()? {
                Token::Word(_) if words.len() == MOST_WORDS => {
                    return Err(Fault { why: "has a statement of more than 1,000 words", line });
                }
                Token::Word(word) => words.push(word),
                Token::Semicolon => break None,
                Token::End if depth == 0 => break None,
                Token::Open if depth == DEEPEST => {
                    return Err(Fault { why: "has blocks within blocks too deep", line });
                }
                Token::Open if name.ends_with("_by_lua_block") => {
                    self.lexer.skip_block()?;
                    break Some(Vec::new());
                }
                Token::Open => break Some(self.block(depth + 1)?),
                Token::Close | Token::End => return Err(Fault { why: "has a statement without a ; at its end", line }),
            }
        };
        Ok(Statement { name, words, block, line })
    }
}

impl fmt::Display for Statement {
    /// In a form that is read as the same statement again, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_word(f, &self.name)?;
        for word in &self.words {
            f.write_str(" ")?;
            write_word(f, word)?;
        }
        match &self.block {
            None => f.write_str(";"),
            Some(statements) => {
                f.write_str(" {")?;
                for statement in statements {
                    write!(f, " {statement}")?;
                }
                f.write_str(" }")
            }
        }
    }
}

/// A word bare where it can stand so, else in quotes.
fn write_word(f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
    let is_bare = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | ';' | '{' | '}' | '#');
    if !word.is_empty() && word.chars().all(is_bare) {
        return f.write_str(word);
    }
    f.write_str("\"")?;
    for c in word.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests;
