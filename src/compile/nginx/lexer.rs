//! Words, braces and semicolons, as nginx tells them apart.

use std::iter::Peekable;
use std::str::CharIndices;

use super::Fault;

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `}`.
    Close,
    /// The end of the text.
    End,
    /// `{`.
    Open,
    /// `;`.
    Semicolon,
    /// A word, without its quotes and with its escapes resolved.
    Word(String),
}

pub(super) struct Lexer<'a> {
    rest: Peekable<CharIndices<'a>>,
    line: usize,
    word_line: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { rest: text.char_indices().peekable(), line: 1, word_line: 1 }
    }

    /// The line that is being read, from 1 on.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// The line on which the last word began.
    pub(super) fn word_line(&self) -> usize {
        self.word_line
    }

    pub(super) fn next(&mut self) -> Result<Token, Fault> {
        self.skip_space();
        self.word_line = self.line;
        let Some(c) = self.take() else { return Ok(Token::End) };
        match c {
            ';' => Ok(Token::Semicolon),
            '{' => Ok(Token::Open),
            '}' => Ok(Token::Close),
            '"' | '\'' => self.quoted(c),
            c => self.bare(c),
        }
    }

    /// What stands up to the brace that closes a block whose opening brace was taken: another language, whose braces are in
    /// pairs as a rule.
    pub(super) fn skip_block(&mut self) -> Result<(), Fault> {
        let line = self.line;
        let mut open = 1;
        while open > 0 {
            match self.take() {
                None => return Err(Fault { why: "has a block that is not closed", line }),
                Some('{') => open += 1,
                Some('}') => open -= 1,
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// White space, a carriage return included, and comments, which begin where a word could.
    fn skip_space(&mut self) {
        let mut in_comment = false;
        while let Some(&(_, c)) = self.rest.peek() {
            match c {
                '\n' => in_comment = false,
                // nginx ends a comment at a line feed only; what stands behind a lone carriage return is in it.
                _ if in_comment => {}
                '#' => in_comment = true,
                ' ' | '\t' | '\r' => {}
                _ => return,
            }
            self.take();
        }
    }

    /// The rest of a word in quotes. What stands directly behind it must not be another word.
    fn quoted(&mut self, quote: char) -> Result<Token, Fault> {
        let line = self.line;
        let mut word = String::new();
        loop {
            match self.take() {
                None => return Err(Fault { why: "has a quote that is not closed", line }),
                Some('\\') => self.escaped(&mut word)?,
                Some(c) if c == quote => break,
                Some(c) => self.push(&mut word, c)?,
            }
        }
        match self.rest.peek() {
            // The parenthesis of a condition is a word of its own.
            None | Some((_, ' ' | '\t' | '\r' | '\n' | ';' | '{' | ')')) => Ok(Token::Word(word)),
            Some(_) => Err(Fault { why: "has text directly behind a quote", line: self.line }),
        }
    }

    /// The rest of a word without quotes.
    fn bare(&mut self, first: char) -> Result<Token, Fault> {
        let mut word = String::new();
        let mut next = Some(first);
        while let Some(c) = next {
            match c {
                '\\' => self.escaped(&mut word)?,
                c => self.push(&mut word, c)?,
            }
            // The brace of `${name}` opens no block.
            let was_dollar = c == '$';
            next = match self.rest.peek() {
                None | Some((_, ' ' | '\t' | '\r' | '\n' | ';')) => None,
                Some((_, '{')) if !was_dollar => None,
                Some(_) => self.take(),
            };
        }
        Ok(Token::Word(word))
    }

    /// What stands behind a backslash. Where nginx knows no escape the backslash stays.
    fn escaped(&mut self, word: &mut String) -> Result<(), Fault> {
        let line = self.line;
        match self.take() {
            None => return Err(Fault { why: "ends with a backslash", line }),
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => {
                word.push('\\');
                self.push(word, c)?;
            }
        }
        Ok(())
    }

    fn push(&self, word: &mut String, c: char) -> Result<(), Fault> {
        if c == '\0' {
            return Err(Fault { why: "has a NUL", line: self.line });
        }
        word.push(c);
        Ok(())
    }

    fn take(&mut self) -> Option<char> {
        let (_, c) = self.rest.next()?;
        self.line += usize::from(c == '\n');
        Some(c)
    }
}
