using KataLike.Contract.Containerd.TaskV2;
using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Tests.Ttrpc;

public sealed class FrameTests
{
    // Recorded between containerd 1.6.20's `ctr shim --id rec1 state` and containerd-shim-runc-v2.
    public const string StateCall =
        "000000280000000101000A17636F6E7461696E6572642E7461736B2E76322E5461736B120553746174651A060A0472656331";

    public const string NotFoundAnswer =
        "000000260000000102000A2408051220636F6E7461696E6572206E6F7420637265617465643A206E6F7420666F756E64";

    [Fact]
    public void RecordedCallIsRead()
    {
        ReadOnlySpan<byte> bytes = Convert.FromHexString(StateCall);

        Assert.True(TtrpcFrame.TryRead(ref bytes, out var frame, out _));

        Assert.Equal(1u, frame.StreamId);
        Assert.Equal(TtrpcFrameType.Request, frame.Type);
        Assert.Equal(0, frame.Flags);
        Assert.Equal(0, bytes.Length);
        var request = Request.Parser.ParseFrom(frame.Data);
        Assert.Equal("containerd.task.v2.Task", request.Service);
        Assert.Equal("State", request.Method);
        Assert.Equal("rec1", StateRequest.Parser.ParseFrom(request.Payload).Id);
    }

    [Fact]
    public void RecordedRefusalIsRead()
    {
        ReadOnlySpan<byte> bytes = Convert.FromHexString(NotFoundAnswer);

        Assert.True(TtrpcFrame.TryRead(ref bytes, out var frame, out _));

        Assert.Equal(TtrpcFrameType.Response, frame.Type);
        var status = Response.Parser.ParseFrom(frame.Data).Status;
        Assert.Equal((int)StatusCode.NotFound, status.Code);
        Assert.Equal("container not created: not found", status.Message);
    }

    [Fact]
    public void EveryPrefixOfFramesIsIncompleteAndSaysHowMuchIsWanted()
    {
        byte[] one = Convert.FromHexString(StateCall);
        for (int length = 0; length < one.Length; length++)
        {
            ReadOnlySpan<byte> bytes = one.AsSpan(0, length);
            Assert.False(TtrpcFrame.TryRead(ref bytes, out _, out int wanted));
            Assert.Equal(length, bytes.Length);
            Assert.Equal(length < TtrpcFrame.HeaderLength ? TtrpcFrame.HeaderLength : one.Length, wanted);
        }

        ReadOnlySpan<byte> two = [.. one, .. one];
        Assert.True(TtrpcFrame.TryRead(ref two, out _, out _));
        Assert.True(TtrpcFrame.TryRead(ref two, out _, out _));
        Assert.False(TtrpcFrame.TryRead(ref two, out _, out _));
    }

    [Fact]
    public void LengthIsLimited()
    {
        byte[] bytes = new byte[TtrpcFrame.HeaderLength];
        TtrpcFrame.WriteHeader(bytes, TtrpcFrame.MaxDataLength, 1, TtrpcFrameType.Request);
        ReadOnlySpan<byte> largest = bytes;
        Assert.False(TtrpcFrame.TryRead(ref largest, out _, out int wanted));
        Assert.Equal(TtrpcFrame.HeaderLength + TtrpcFrame.MaxDataLength, wanted);

        bytes[3]++;
        var error = Assert.Throws<TtrpcProtocolException>(() =>
        {
            ReadOnlySpan<byte> tooLarge = bytes;
            _ = TtrpcFrame.TryRead(ref tooLarge, out _, out _);
        });
        Assert.Equal("frame of 4194305 bytes exceeds the limit of 4194304", error.Message);
    }

    [Fact]
    public void AnyBytesAreAFrameOrAProtocolError()
    {
        var random = new Random(1);
        byte[] recorded = Convert.FromHexString(StateCall);
        for (int round = 0; round < 200_000; round++)
        {
            byte[] bytes = round % 2 == 0 ? new byte[random.Next(64)] : [.. recorded];
            if (round % 2 == 0)
                random.NextBytes(bytes);
            else
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            if (bytes.Length > 1 && round % 3 == 0)
                bytes[0] = bytes[1] = 0;
            ReadWhatIsThere(bytes);
        }
    }

    private static void ReadWhatIsThere(ReadOnlySpan<byte> bytes)
    {
        try
        {
            int before = bytes.Length;
            while (TtrpcFrame.TryRead(ref bytes, out var frame, out int length))
            {
                Assert.Equal(length, frame.Data.Length + TtrpcFrame.HeaderLength);
                Assert.Equal(before - length, bytes.Length);
                before = bytes.Length;
            }
        }
        catch (TtrpcProtocolException)
        {
        }
    }
}
