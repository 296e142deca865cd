using System.Globalization;
using KataLike.Contract;

namespace KataLike.Runtime.Cli;

/// <summary>
/// What a stub and the sandbox process say to each other over stdio.sock: lines of words, in this order.
/// </summary>
/// <remarks>
/// <code>
/// 1. stub     attach CONTAINER EXEC|- terminal|pipes COLUMNS ROWS    with the descriptors (SCM_RIGHTS): in, out, error, or
///                                                                    with a terminal in, out
/// 2. sandbox  ticket HEX                                             Create or Exec names it as stub://HEX; with the
///                                                                    sandbox's network namespace (SCM_RIGHTS)
/// 3. stub     bind                                                   after Create or Exec has succeeded
/// 4. sandbox  bound
/// 5. stub     signal N, resize COLUMNS ROWS                          any number of them
/// 6. sandbox  exit STATUS [REASON]                                   all output has been written by then; the reason tells
///                                                                    why the machine was lost
/// </code>
/// "error TEXT" may stand for any answer. If the stub's end closes before step 6, the sandbox kills the process.
/// </remarks>
internal abstract record StubMessage
{
    public const int MaxLength = 4096;

    public sealed record Attach(string Container, string ExecId, bool Terminal, uint Columns, uint Rows) : StubMessage
    {
        public int Descriptors => Terminal ? 2 : 3;
    }

    public sealed record Ticket(string Value) : StubMessage;

    public sealed record Bind : StubMessage;

    public sealed record Bound : StubMessage;

    public sealed record Signal(uint Number) : StubMessage;

    public sealed record Resize(uint Columns, uint Rows) : StubMessage;

    public sealed record Exit(uint Status, string? Loss = null) : StubMessage;

    public sealed record Error(string Text) : StubMessage;

    /// <summary>The line without its end.</summary>
    public string Format() => this switch
    {
        Attach a => $"attach {a.Container} {(a.ExecId.Length > 0 ? a.ExecId : "-")} {(a.Terminal ? "terminal" : "pipes")} {a.Columns} {a.Rows}",
        Ticket t => $"ticket {t.Value}",
        Bind => "bind",
        Bound => "bound",
        Signal s => $"signal {s.Number}",
        Resize r => $"resize {r.Columns} {r.Rows}",
        Exit { Loss: null } e => $"exit {e.Status}",
        Exit e => $"exit {e.Status} {OneLine.Of(e.Loss)}",
        Error e => $"error {OneLine.Of(e.Text)}",
        _ => throw new InvalidOperationException(GetType().Name),
    };

    /// <summary>Null for a line that is none of them.</summary>
    public static StubMessage? Parse(string line) => line.Split(' ') switch
    {
        ["attach", var id, var exec, ("terminal" or "pipes") and var kind, var columns, var rows]
            when Parsed(columns) is { } c && Parsed(rows) is { } r => new Attach(id, exec == "-" ? "" : exec, kind == "terminal", c, r),
        ["ticket", var value] => new Ticket(value),
        ["bind"] => new Bind(),
        ["bound"] => new Bound(),
        ["signal", var number] when Parsed(number) is { } n => new Signal(n),
        ["resize", var columns, var rows] when Parsed(columns) is { } c && Parsed(rows) is { } r => new Resize(c, r),
        ["exit", var status] when Parsed(status) is { } n => new Exit(n),
        ["exit", var status, ..] when Parsed(status) is { } n => new Exit(n, line[$"exit {status} ".Length..]),
        ["error", ..] => new Error(line["error ".Length..]),
        _ => null,
    };

    private static uint? Parsed(string text) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value <= 65535 ? value : null;
}
