using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace KataLike.Runtime.Hypervisor;

// QMP, QEMU's control protocol: one JSON object a line, both ways.
//
//   QEMU     {"QMP": {"version": …, "capabilities": […]}}          greeting, once
//   us       {"execute": "qmp_capabilities", "id": 1}              ends the negotiation
//   us       {"execute": "getfd", "arguments": {…}, "id": 2}       where a descriptor is meant, it comes with the line
//   QEMU     {"return": {}, "id": 1}                               or {"error": {"class": …, "desc": …}, "id": 1}
//   QEMU     {"event": "SHUTDOWN", "data": {…}, "timestamp": {…}}  at any time

/// <summary>A line of QMP from QEMU. Exactly one of Greeting, Return, Error and Event is there.</summary>
internal sealed record QmpMessage(
    [property: JsonPropertyName("QMP")] JsonElement? Greeting,
    [property: JsonPropertyName("return")] JsonElement? Return,
    [property: JsonPropertyName("error")] QmpError? Error,
    [property: JsonPropertyName("event")] string? Event,
    [property: JsonPropertyName("data")] JsonElement? Data,
    [property: JsonPropertyName("id")] long? Id);

internal sealed record QmpError(
    [property: JsonPropertyName("class")] string? Class,
    [property: JsonPropertyName("desc")] string? Description);

internal sealed record QmpCommand(
    [property: JsonPropertyName("execute")] string Name,
    [property: JsonPropertyName("arguments"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] JsonObject? Arguments,
    [property: JsonPropertyName("id")] long Id);

/// <summary>QEMU refused a command, or its bytes are not QMP.</summary>
/// <param name="kind">QEMU's class of the error ("DeviceNotFound", mostly "GenericError"); empty: not QEMU's answer.</param>
internal sealed class QmpException(string message, Exception? cause = null, string kind = "") : IOException(message, cause)
{
    public string Kind { get; } = kind;
}

[JsonSerializable(typeof(QmpMessage))]
[JsonSerializable(typeof(QmpCommand))]
internal sealed partial class QmpJson : JsonSerializerContext;

internal static class QmpReader
{
    public const int MaxLine = 1 << 20;

    /// <summary>Takes one message off the front of what has been received; false: more bytes are needed.</summary>
    /// <exception cref="QmpException">Not QMP, or a line over 1 MiB.</exception>
    public static bool TryRead(ref ReadOnlySpan<byte> received, out QmpMessage? message)
    {
        message = null;
        var end = received.IndexOf((byte)'\n');
        if ((end < 0 ? received.Length : end) > MaxLine)
            throw new QmpException("qmp: a line is longer than 1 MiB");
        if (end < 0)
            return false;
        message = Parse(received[..end]);
        received = received[(end + 1)..];
        return true;
    }

    private static QmpMessage Parse(ReadOnlySpan<byte> line)
    {
        QmpMessage? message;
        try
        {
            message = JsonSerializer.Deserialize(line, QmpJson.Default.QmpMessage);
        }
        catch (JsonException error)
        {
            throw new QmpException($"qmp: malformed line: {error.Message}", error);
        }
        return message is { Greeting: not null } or { Return: not null } or { Error: not null } or { Event: not null }
            ? message
            : throw new QmpException("qmp: a line that is no greeting, answer or event");
    }
}
