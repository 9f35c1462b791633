//! The handwritten digits, compiled into the program so that it runs from any directory.
//!
//! Where they come from and under which licence: `README.md` beside this file. Several examples take it in with
//! `#[path]`.

use std::error::Error;
use std::io::Read;

use flate2::read::GzDecoder;

/// Pixels of one image.
pub(crate) const PIXELS: usize = 64;
/// Different labels.
pub(crate) const CLASSES: usize = 10;
/// Rows that train; those behind them test.
pub(crate) const TRAINING_ROWS: usize = 1_437;

/// The darkest grey value in the file.
const DARKEST: u8 = 16;
static COMPRESSED: &[u8] = include_bytes!("digits.csv.gz");

/// A set of labelled images in ordinary memory.
#[derive(Debug, Default)]
pub(crate) struct Digits {
    /// [`PIXELS`] values in `0.0..=1.0` a row.
    pub(crate) features: Vec<f32>,
    /// One label a row, below [`CLASSES`].
    pub(crate) labels: Vec<u8>,
}

impl Digits {
    /// Reads the digits and splits them into the training and the test set.
    ///
    /// # Errors
    ///
    /// When the data does not decompress, or a line of it is not a labelled image.
    pub(crate) fn load() -> Result<(Digits, Digits), Box<dyn Error>> {
        let mut text = String::new();
        GzDecoder::new(COMPRESSED).read_to_string(&mut text)?;
        let mut training = Digits::parse(&text)?;
        let test = training.split_off(TRAINING_ROWS)?;
        Ok((training, test))
    }

    /// Borrows the rows.
    pub(crate) fn view(&self) -> Samples<'_> {
        Samples { features: &self.features, labels: &self.labels }
    }

    fn parse(text: &str) -> Result<Digits, Box<dyn Error>> {
        let mut digits = Digits::default();
        for (index, line) in text.lines().enumerate() {
            digits.parse_line(line).map_err(|error| format!("digits, line {}: {error}", index + 1))?;
        }
        Ok(digits)
    }

    fn parse_line(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        let values: Vec<u8> = line.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let [pixels @ .., label] = values.as_slice() else {
            return Err("the line is empty".into());
        };
        if pixels.len() != PIXELS {
            return Err(format!("{} pixels, expected {PIXELS}", pixels.len()).into());
        }
        if let Some(pixel) = pixels.iter().find(|&&pixel| pixel > DARKEST) {
            return Err(format!("grey value {pixel}, expected at most {DARKEST}").into());
        }
        if usize::from(*label) >= CLASSES {
            return Err(format!("label {label}, expected less than {CLASSES}").into());
        }
        self.features.extend(pixels.iter().map(|&pixel| f32::from(pixel) / f32::from(DARKEST)));
        self.labels.push(*label);
        Ok(())
    }

    fn split_off(&mut self, row: usize) -> Result<Digits, Box<dyn Error>> {
        if row >= self.labels.len() {
            return Err(format!("{} digits, expected more than {row}", self.labels.len()).into());
        }
        Ok(Digits { features: self.features.split_off(row * PIXELS), labels: self.labels.split_off(row) })
    }
}

/// Labelled images wherever they lie: in a `Vec`, or in shared memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Samples<'a> {
    /// [`PIXELS`] values a row.
    pub(crate) features: &'a [f32],
    /// One label a row.
    pub(crate) labels: &'a [u8],
}

impl<'a> Samples<'a> {
    /// Gives the image and the label of `row`.
    pub(crate) fn row(&self, row: usize) -> (&'a [f32], usize) {
        let pixels = &self.features[row * PIXELS..(row + 1) * PIXELS];
        (pixels, usize::from(self.labels[row]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_documented_rows() {
        let (training, test) = Digits::load().unwrap();
        assert_eq!(training.labels.len(), 1_437);
        assert_eq!(test.labels.len(), 360);
        assert_eq!(training.features.len(), 1_437 * PIXELS);
        let (pixels, label) = training.view().row(0);
        assert_eq!(label, 0);
        assert_eq!(&pixels[..4], &[0.0, 0.0, 5.0 / 16.0, 13.0 / 16.0]);
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = Digits::parse("1,2,3").unwrap_err().to_string();
        assert_eq!(error, "digits, line 1: 2 pixels, expected 64");
        let line = format!("{}10", "0,".repeat(PIXELS));
        let error = Digits::parse(&line).unwrap_err().to_string();
        assert_eq!(error, "digits, line 1: label 10, expected less than 10");
    }
}
