// Every case compares what is on the host before and after it: two at a time would see each other.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
