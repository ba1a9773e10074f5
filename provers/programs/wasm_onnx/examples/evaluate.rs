//! `evaluate MODEL INPUT…`: the outputs of an `.onnx` file for inputs in TensorProto files, one line each: element type,
//! shape, and the values, floats as the bits of their 32-bit form. What is refused goes to standard error, status 1.

use w3bstream_onnx::{Data, Model, Refused, Tensor};

fn read(path: &str) -> Result<Vec<u8>, Refused> {
    std::fs::read(path).map_err(|error| Refused(format!("{path}: {error}")))
}

fn line(tensor: &Tensor) -> String {
    let (element, values): (_, Vec<i64>) = match &tensor.data {
        Data::Float(values) => ("float", values.iter().map(|value| value.to_bits().into()).collect()),
        Data::Uint8(values) => ("uint8", values.iter().copied().map(i64::from).collect()),
        Data::Int8(values) => ("int8", values.iter().copied().map(i64::from).collect()),
        Data::Int32(values) => ("int32", values.iter().copied().map(i64::from).collect()),
        Data::Int64(values) => ("int64", values.clone()),
    };
    format!("{element} {:?} {values:?}", tensor.shape)
}

fn evaluate(arguments: &[String]) -> Result<(), Refused> {
    let [model, inputs @ ..] = arguments else { return Err(Refused("evaluate MODEL INPUT…".into())) };
    let inputs =
        inputs.iter().map(|path| Ok(Tensor::parse(&read(path)?)?.1)).collect::<Result<_, Refused>>()?;
    for output in Model::parse(&read(model)?)?.run(inputs)? {
        println!("{}", line(&output));
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match evaluate(&arguments) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(refused) => {
            eprintln!("{refused}");
            std::process::ExitCode::FAILURE
        }
    }
}
