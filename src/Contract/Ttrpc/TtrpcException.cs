namespace KataLike.Contract.Ttrpc;

/// <summary>How a call ended; the numbers of gRPC.</summary>
public enum StatusCode
{
    OK = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// <summary>A call that the peer refused, or that a handler refuses: the code and message that travel on the wire.</summary>
public sealed class TtrpcException(StatusCode code, string message, Exception? cause = null) : Exception(message, cause)
{
    public StatusCode Code { get; } = code;
}

/// <summary>The connection ended before the answer came, or had ended before the call.</summary>
public sealed class TtrpcDisconnectedException(string reason) : IOException($"ttrpc connection ended: {reason}")
{
    /// <summary>The first thing that went wrong on the connection.</summary>
    public string Reason { get; } = reason;
}

/// <summary>The peer sent bytes that are not ttrpc, or not the message that was due.</summary>
public sealed class TtrpcProtocolException(string message, Exception? cause = null) : IOException(message, cause);
