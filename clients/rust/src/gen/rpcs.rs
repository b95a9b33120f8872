// This file is generated from the contract in `protos/`.
impl Rpc for crate::analytics::v1::RecordEventsRequest {
    type Response = crate::analytics::v1::RecordEventsResponse;
    const METHOD: Method = Method { path: "/antiphon.analytics.v1.AnalyticsService/RecordEvents", idempotent: true, public: false };
}
impl Unary for crate::analytics::v1::RecordEventsRequest {}
impl Rpc for crate::analytics::v1::GetUserAnalyticsRequest {
    type Response = crate::analytics::v1::GetUserAnalyticsResponse;
    const METHOD: Method = Method { path: "/antiphon.analytics.v1.AnalyticsService/GetUserAnalytics", idempotent: true, public: false };
}
impl Unary for crate::analytics::v1::GetUserAnalyticsRequest {}
impl Rpc for crate::analytics::v1::WatchUsageRequest {
    type Response = crate::analytics::v1::WatchUsageResponse;
    const METHOD: Method = Method { path: "/antiphon.analytics.v1.AnalyticsService/WatchUsage", idempotent: true, public: false };
}
impl Streaming for crate::analytics::v1::WatchUsageRequest {}
impl Rpc for crate::analytics::v1::ExportEventsRequest {
    type Response = crate::analytics::v1::ExportEventsResponse;
    const METHOD: Method = Method { path: "/antiphon.analytics.v1.AnalyticsService/ExportEvents", idempotent: true, public: false };
}
impl Streaming for crate::analytics::v1::ExportEventsRequest {}
impl Rpc for crate::analytics::v1::GetServiceAnalyticsRequest {
    type Response = crate::analytics::v1::GetServiceAnalyticsResponse;
    const METHOD: Method = Method { path: "/antiphon.analytics.v1.AnalyticsService/GetServiceAnalytics", idempotent: true, public: false };
}
impl Unary for crate::analytics::v1::GetServiceAnalyticsRequest {}
impl Rpc for crate::analytics::v1::GetSystemAnalyticsRequest {
    type Response = crate::analytics::v1::GetSystemAnalyticsResponse;
    const METHOD: Method = Method { path: "/antiphon.analytics.v1.AnalyticsService/GetSystemAnalytics", idempotent: true, public: false };
}
impl Unary for crate::analytics::v1::GetSystemAnalyticsRequest {}
impl Rpc for crate::analytics::v1::GetUsageRequest {
    type Response = crate::analytics::v1::GetUsageResponse;
    const METHOD: Method = Method { path: "/antiphon.analytics.v1.AnalyticsService/GetUsage", idempotent: true, public: false };
}
impl Unary for crate::analytics::v1::GetUsageRequest {}
impl Rpc for crate::analytics::v1::QueryUsageRequest {
    type Response = crate::analytics::v1::QueryUsageResponse;
    const METHOD: Method = Method { path: "/antiphon.analytics.v1.AnalyticsService/QueryUsage", idempotent: true, public: false };
}
impl Unary for crate::analytics::v1::QueryUsageRequest {}
impl Rpc for crate::analytics::v1::ReconcileRequest {
    type Response = crate::analytics::v1::ReconcileResponse;
    const METHOD: Method = Method { path: "/antiphon.analytics.v1.AnalyticsService/Reconcile", idempotent: true, public: false };
}
impl Unary for crate::analytics::v1::ReconcileRequest {}
impl Rpc for crate::analytics::v1::ListPricesRequest {
    type Response = crate::analytics::v1::ListPricesResponse;
    const METHOD: Method = Method { path: "/antiphon.analytics.v1.AnalyticsService/ListPrices", idempotent: true, public: false };
}
impl Unary for crate::analytics::v1::ListPricesRequest {}
impl Paged for crate::analytics::v1::ListPricesRequest {
    fn turn_to(&mut self, page_token: String) { self.page_token = page_token; self.skip = 0; }
    fn next_page_token(page: &Self::Response) -> &str { &page.next_page_token }
}
impl Rpc for crate::analytics::v1::SetPriceRequest {
    type Response = crate::analytics::v1::SetPriceResponse;
    const METHOD: Method = Method { path: "/antiphon.analytics.v1.AnalyticsService/SetPrice", idempotent: true, public: false };
}
impl Unary for crate::analytics::v1::SetPriceRequest {}
impl Rpc for crate::analytics::v1::ListRejectedEventsRequest {
    type Response = crate::analytics::v1::ListRejectedEventsResponse;
    const METHOD: Method = Method { path: "/antiphon.analytics.v1.AnalyticsService/ListRejectedEvents", idempotent: true, public: false };
}
impl Unary for crate::analytics::v1::ListRejectedEventsRequest {}
impl Paged for crate::analytics::v1::ListRejectedEventsRequest {
    fn turn_to(&mut self, page_token: String) { self.page_token = page_token; self.skip = 0; }
    fn next_page_token(page: &Self::Response) -> &str { &page.next_page_token }
}
impl Rpc for crate::auth::v1::CreateApiKeyRequest {
    type Response = crate::auth::v1::CreateApiKeyResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.ApiKeyService/CreateApiKey", idempotent: true, public: false };
    fn request_id(&mut self) -> Option<&mut String> { Some(&mut self.request_id) }
}
impl Unary for crate::auth::v1::CreateApiKeyRequest {}
impl Rpc for crate::auth::v1::ListApiKeysRequest {
    type Response = crate::auth::v1::ListApiKeysResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.ApiKeyService/ListApiKeys", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::ListApiKeysRequest {}
impl Paged for crate::auth::v1::ListApiKeysRequest {
    fn turn_to(&mut self, page_token: String) { self.page_token = page_token; self.skip = 0; }
    fn next_page_token(page: &Self::Response) -> &str { &page.next_page_token }
}
impl Rpc for crate::auth::v1::GetApiKeyRequest {
    type Response = crate::auth::v1::GetApiKeyResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.ApiKeyService/GetApiKey", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::GetApiKeyRequest {}
impl Rpc for crate::auth::v1::RotateApiKeyRequest {
    type Response = crate::auth::v1::RotateApiKeyResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.ApiKeyService/RotateApiKey", idempotent: true, public: false };
    fn request_id(&mut self) -> Option<&mut String> { Some(&mut self.request_id) }
}
impl Unary for crate::auth::v1::RotateApiKeyRequest {}
impl Rpc for crate::auth::v1::RevokeApiKeyRequest {
    type Response = crate::auth::v1::RevokeApiKeyResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.ApiKeyService/RevokeApiKey", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::RevokeApiKeyRequest {}
impl Rpc for crate::auth::v1::RegisterRequest {
    type Response = crate::auth::v1::RegisterResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/Register", idempotent: true, public: true };
    fn request_id(&mut self) -> Option<&mut String> { Some(&mut self.request_id) }
}
impl Unary for crate::auth::v1::RegisterRequest {}
impl Rpc for crate::auth::v1::LoginRequest {
    type Response = crate::auth::v1::LoginResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/Login", idempotent: false, public: true };
}
impl Unary for crate::auth::v1::LoginRequest {}
impl Rpc for crate::auth::v1::RefreshTokenRequest {
    type Response = crate::auth::v1::RefreshTokenResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/RefreshToken", idempotent: true, public: true };
}
impl Unary for crate::auth::v1::RefreshTokenRequest {}
impl Rpc for crate::auth::v1::LogoutRequest {
    type Response = crate::auth::v1::LogoutResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/Logout", idempotent: true, public: true };
}
impl Unary for crate::auth::v1::LogoutRequest {}
impl Rpc for crate::auth::v1::GetProfileRequest {
    type Response = crate::auth::v1::GetProfileResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/GetProfile", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::GetProfileRequest {}
impl Rpc for crate::auth::v1::UpdateProfileRequest {
    type Response = crate::auth::v1::UpdateProfileResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/UpdateProfile", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::UpdateProfileRequest {}
impl Rpc for crate::auth::v1::ChangePasswordRequest {
    type Response = crate::auth::v1::ChangePasswordResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/ChangePassword", idempotent: false, public: false };
}
impl Unary for crate::auth::v1::ChangePasswordRequest {}
impl Rpc for crate::auth::v1::ListSessionsRequest {
    type Response = crate::auth::v1::ListSessionsResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/ListSessions", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::ListSessionsRequest {}
impl Paged for crate::auth::v1::ListSessionsRequest {
    fn turn_to(&mut self, page_token: String) { self.page_token = page_token; self.skip = 0; }
    fn next_page_token(page: &Self::Response) -> &str { &page.next_page_token }
}
impl Rpc for crate::auth::v1::RevokeSessionRequest {
    type Response = crate::auth::v1::RevokeSessionResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/RevokeSession", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::RevokeSessionRequest {}
impl Rpc for crate::auth::v1::GetJwksRequest {
    type Response = crate::auth::v1::GetJwksResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/GetJwks", idempotent: true, public: true };
}
impl Unary for crate::auth::v1::GetJwksRequest {}
impl Rpc for crate::auth::v1::ListSigningKeysRequest {
    type Response = crate::auth::v1::ListSigningKeysResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/ListSigningKeys", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::ListSigningKeysRequest {}
impl Rpc for crate::auth::v1::VerifyTokenRequest {
    type Response = crate::auth::v1::VerifyTokenResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/VerifyToken", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::VerifyTokenRequest {}
impl Rpc for crate::auth::v1::WatchRevocationsRequest {
    type Response = crate::auth::v1::WatchRevocationsResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/WatchRevocations", idempotent: true, public: false };
}
impl Streaming for crate::auth::v1::WatchRevocationsRequest {}
impl Rpc for crate::auth::v1::ListUsersRequest {
    type Response = crate::auth::v1::ListUsersResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/ListUsers", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::ListUsersRequest {}
impl Paged for crate::auth::v1::ListUsersRequest {
    fn turn_to(&mut self, page_token: String) { self.page_token = page_token; self.skip = 0; }
    fn next_page_token(page: &Self::Response) -> &str { &page.next_page_token }
}
impl Rpc for crate::auth::v1::GetUserRequest {
    type Response = crate::auth::v1::GetUserResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/GetUser", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::GetUserRequest {}
impl Rpc for crate::auth::v1::CreateUserRequest {
    type Response = crate::auth::v1::CreateUserResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/CreateUser", idempotent: true, public: false };
    fn request_id(&mut self) -> Option<&mut String> { Some(&mut self.request_id) }
}
impl Unary for crate::auth::v1::CreateUserRequest {}
impl Rpc for crate::auth::v1::UpdateUserRequest {
    type Response = crate::auth::v1::UpdateUserResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/UpdateUser", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::UpdateUserRequest {}
impl Rpc for crate::auth::v1::DeleteUserRequest {
    type Response = crate::auth::v1::DeleteUserResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/DeleteUser", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::DeleteUserRequest {}
impl Rpc for crate::auth::v1::ListAuditEventsRequest {
    type Response = crate::auth::v1::ListAuditEventsResponse;
    const METHOD: Method = Method { path: "/antiphon.auth.v1.AuthService/ListAuditEvents", idempotent: true, public: false };
}
impl Unary for crate::auth::v1::ListAuditEventsRequest {}
impl Paged for crate::auth::v1::ListAuditEventsRequest {
    fn turn_to(&mut self, page_token: String) { self.page_token = page_token; self.skip = 0; }
    fn next_page_token(page: &Self::Response) -> &str { &page.next_page_token }
}
impl Rpc for crate::chat::v1::StreamChatRequest {
    type Response = crate::chat::v1::StreamChatResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/StreamChat", idempotent: true, public: false };
    fn request_id(&mut self) -> Option<&mut String> { Some(&mut self.request_id) }
}
impl Streaming for crate::chat::v1::StreamChatRequest {}
impl Rpc for crate::chat::v1::ChatRequest {
    type Response = crate::chat::v1::ChatResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/Chat", idempotent: true, public: false };
    fn request_id(&mut self) -> Option<&mut String> { Some(&mut self.request_id) }
}
impl Unary for crate::chat::v1::ChatRequest {}
impl Rpc for crate::chat::v1::ResumeStreamRequest {
    type Response = crate::chat::v1::ResumeStreamResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/ResumeStream", idempotent: true, public: false };
}
impl Streaming for crate::chat::v1::ResumeStreamRequest {}
impl Rpc for crate::chat::v1::CancelGenerationRequest {
    type Response = crate::chat::v1::CancelGenerationResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/CancelGeneration", idempotent: true, public: false };
}
impl Unary for crate::chat::v1::CancelGenerationRequest {}
impl Rpc for crate::chat::v1::GetGenerationRequest {
    type Response = crate::chat::v1::GetGenerationResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/GetGeneration", idempotent: true, public: false };
}
impl Unary for crate::chat::v1::GetGenerationRequest {}
impl Rpc for crate::chat::v1::CreateSessionRequest {
    type Response = crate::chat::v1::CreateSessionResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/CreateSession", idempotent: true, public: false };
    fn request_id(&mut self) -> Option<&mut String> { Some(&mut self.request_id) }
}
impl Unary for crate::chat::v1::CreateSessionRequest {}
impl Rpc for crate::chat::v1::GetSessionRequest {
    type Response = crate::chat::v1::GetSessionResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/GetSession", idempotent: true, public: false };
}
impl Unary for crate::chat::v1::GetSessionRequest {}
impl Rpc for crate::chat::v1::ListSessionsRequest {
    type Response = crate::chat::v1::ListSessionsResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/ListSessions", idempotent: true, public: false };
}
impl Unary for crate::chat::v1::ListSessionsRequest {}
impl Paged for crate::chat::v1::ListSessionsRequest {
    fn turn_to(&mut self, page_token: String) { self.page_token = page_token; self.skip = 0; }
    fn next_page_token(page: &Self::Response) -> &str { &page.next_page_token }
}
impl Rpc for crate::chat::v1::UpdateSessionRequest {
    type Response = crate::chat::v1::UpdateSessionResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/UpdateSession", idempotent: true, public: false };
}
impl Unary for crate::chat::v1::UpdateSessionRequest {}
impl Rpc for crate::chat::v1::DeleteSessionRequest {
    type Response = crate::chat::v1::DeleteSessionResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/DeleteSession", idempotent: true, public: false };
}
impl Unary for crate::chat::v1::DeleteSessionRequest {}
impl Rpc for crate::chat::v1::ForkSessionRequest {
    type Response = crate::chat::v1::ForkSessionResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/ForkSession", idempotent: true, public: false };
    fn request_id(&mut self) -> Option<&mut String> { Some(&mut self.request_id) }
}
impl Unary for crate::chat::v1::ForkSessionRequest {}
impl Rpc for crate::chat::v1::CreateMessageRequest {
    type Response = crate::chat::v1::CreateMessageResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/CreateMessage", idempotent: true, public: false };
    fn request_id(&mut self) -> Option<&mut String> { Some(&mut self.request_id) }
}
impl Unary for crate::chat::v1::CreateMessageRequest {}
impl Rpc for crate::chat::v1::GetMessageRequest {
    type Response = crate::chat::v1::GetMessageResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/GetMessage", idempotent: true, public: false };
}
impl Unary for crate::chat::v1::GetMessageRequest {}
impl Rpc for crate::chat::v1::ListMessagesRequest {
    type Response = crate::chat::v1::ListMessagesResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/ListMessages", idempotent: true, public: false };
}
impl Unary for crate::chat::v1::ListMessagesRequest {}
impl Paged for crate::chat::v1::ListMessagesRequest {
    fn turn_to(&mut self, page_token: String) { self.page_token = page_token; self.skip = 0; }
    fn next_page_token(page: &Self::Response) -> &str { &page.next_page_token }
}
impl Rpc for crate::chat::v1::SearchMessagesRequest {
    type Response = crate::chat::v1::SearchMessagesResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/SearchMessages", idempotent: true, public: false };
}
impl Unary for crate::chat::v1::SearchMessagesRequest {}
impl Paged for crate::chat::v1::SearchMessagesRequest {
    fn turn_to(&mut self, page_token: String) { self.page_token = page_token; self.skip = 0; }
    fn next_page_token(page: &Self::Response) -> &str { &page.next_page_token }
}
impl Rpc for crate::chat::v1::ListModelsRequest {
    type Response = crate::chat::v1::ListModelsResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/ListModels", idempotent: true, public: true };
}
impl Unary for crate::chat::v1::ListModelsRequest {}
impl Rpc for crate::chat::v1::CountTokensRequest {
    type Response = crate::chat::v1::CountTokensResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/CountTokens", idempotent: true, public: false };
}
impl Unary for crate::chat::v1::CountTokensRequest {}
impl Rpc for crate::chat::v1::SummarizeUsageRequest {
    type Response = crate::chat::v1::SummarizeUsageResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/SummarizeUsage", idempotent: true, public: false };
}
impl Unary for crate::chat::v1::SummarizeUsageRequest {}
impl Rpc for crate::chat::v1::RedeliverUsageRequest {
    type Response = crate::chat::v1::RedeliverUsageResponse;
    const METHOD: Method = Method { path: "/antiphon.chat.v1.ChatService/RedeliverUsage", idempotent: true, public: false };
}
impl Unary for crate::chat::v1::RedeliverUsageRequest {}
impl Rpc for crate::image::v1::GenerateImageRequest {
    type Response = crate::image::v1::GenerateImageResponse;
    const METHOD: Method = Method { path: "/antiphon.image.v1.ImageService/GenerateImage", idempotent: true, public: false };
    fn request_id(&mut self) -> Option<&mut String> { Some(&mut self.request_id) }
}
impl Unary for crate::image::v1::GenerateImageRequest {}
impl Rpc for crate::image::v1::GetImageRequest {
    type Response = crate::image::v1::GetImageResponse;
    const METHOD: Method = Method { path: "/antiphon.image.v1.ImageService/GetImage", idempotent: true, public: false };
}
impl Unary for crate::image::v1::GetImageRequest {}
impl Rpc for crate::image::v1::DownloadImageRequest {
    type Response = crate::image::v1::DownloadImageResponse;
    const METHOD: Method = Method { path: "/antiphon.image.v1.ImageService/DownloadImage", idempotent: true, public: false };
}
impl Streaming for crate::image::v1::DownloadImageRequest {}
impl Rpc for crate::image::v1::ListImagesRequest {
    type Response = crate::image::v1::ListImagesResponse;
    const METHOD: Method = Method { path: "/antiphon.image.v1.ImageService/ListImages", idempotent: true, public: false };
}
impl Unary for crate::image::v1::ListImagesRequest {}
impl Paged for crate::image::v1::ListImagesRequest {
    fn turn_to(&mut self, page_token: String) { self.page_token = page_token; self.skip = 0; }
    fn next_page_token(page: &Self::Response) -> &str { &page.next_page_token }
}
impl Rpc for crate::image::v1::DeleteImageRequest {
    type Response = crate::image::v1::DeleteImageResponse;
    const METHOD: Method = Method { path: "/antiphon.image.v1.ImageService/DeleteImage", idempotent: true, public: false };
}
impl Unary for crate::image::v1::DeleteImageRequest {}
impl Rpc for crate::image::v1::ListModelsRequest {
    type Response = crate::image::v1::ListModelsResponse;
    const METHOD: Method = Method { path: "/antiphon.image.v1.ImageService/ListModels", idempotent: true, public: true };
}
impl Unary for crate::image::v1::ListModelsRequest {}
impl Rpc for crate::image::v1::AdminListImagesRequest {
    type Response = crate::image::v1::AdminListImagesResponse;
    const METHOD: Method = Method { path: "/antiphon.image.v1.ImageService/AdminListImages", idempotent: true, public: false };
}
impl Unary for crate::image::v1::AdminListImagesRequest {}
impl Paged for crate::image::v1::AdminListImagesRequest {
    fn turn_to(&mut self, page_token: String) { self.page_token = page_token; self.skip = 0; }
    fn next_page_token(page: &Self::Response) -> &str { &page.next_page_token }
}
impl Rpc for crate::image::v1::SummarizeUsageRequest {
    type Response = crate::image::v1::SummarizeUsageResponse;
    const METHOD: Method = Method { path: "/antiphon.image.v1.ImageService/SummarizeUsage", idempotent: true, public: false };
}
impl Unary for crate::image::v1::SummarizeUsageRequest {}
impl Rpc for crate::image::v1::RedeliverUsageRequest {
    type Response = crate::image::v1::RedeliverUsageResponse;
    const METHOD: Method = Method { path: "/antiphon.image.v1.ImageService/RedeliverUsage", idempotent: true, public: false };
}
impl Unary for crate::image::v1::RedeliverUsageRequest {}
impl Rpc for crate::speech::v1::SynthesizeRequest {
    type Response = crate::speech::v1::SynthesizeResponse;
    const METHOD: Method = Method { path: "/antiphon.speech.v1.SpeechService/Synthesize", idempotent: true, public: false };
    fn request_id(&mut self) -> Option<&mut String> { Some(&mut self.request_id) }
}
impl Unary for crate::speech::v1::SynthesizeRequest {}
impl Rpc for crate::speech::v1::StreamSynthesizeRequest {
    type Response = crate::speech::v1::StreamSynthesizeResponse;
    const METHOD: Method = Method { path: "/antiphon.speech.v1.SpeechService/StreamSynthesize", idempotent: true, public: false };
    fn request_id(&mut self) -> Option<&mut String> { Some(&mut self.request_id) }
}
impl Streaming for crate::speech::v1::StreamSynthesizeRequest {}
impl Rpc for crate::speech::v1::GetConversionRequest {
    type Response = crate::speech::v1::GetConversionResponse;
    const METHOD: Method = Method { path: "/antiphon.speech.v1.SpeechService/GetConversion", idempotent: true, public: false };
}
impl Unary for crate::speech::v1::GetConversionRequest {}
impl Rpc for crate::speech::v1::DownloadAudioRequest {
    type Response = crate::speech::v1::DownloadAudioResponse;
    const METHOD: Method = Method { path: "/antiphon.speech.v1.SpeechService/DownloadAudio", idempotent: true, public: false };
}
impl Streaming for crate::speech::v1::DownloadAudioRequest {}
impl Rpc for crate::speech::v1::ListConversionsRequest {
    type Response = crate::speech::v1::ListConversionsResponse;
    const METHOD: Method = Method { path: "/antiphon.speech.v1.SpeechService/ListConversions", idempotent: true, public: false };
}
impl Unary for crate::speech::v1::ListConversionsRequest {}
impl Paged for crate::speech::v1::ListConversionsRequest {
    fn turn_to(&mut self, page_token: String) { self.page_token = page_token; self.skip = 0; }
    fn next_page_token(page: &Self::Response) -> &str { &page.next_page_token }
}
impl Rpc for crate::speech::v1::DeleteConversionRequest {
    type Response = crate::speech::v1::DeleteConversionResponse;
    const METHOD: Method = Method { path: "/antiphon.speech.v1.SpeechService/DeleteConversion", idempotent: true, public: false };
}
impl Unary for crate::speech::v1::DeleteConversionRequest {}
impl Rpc for crate::speech::v1::ListVoicesRequest {
    type Response = crate::speech::v1::ListVoicesResponse;
    const METHOD: Method = Method { path: "/antiphon.speech.v1.SpeechService/ListVoices", idempotent: true, public: true };
}
impl Unary for crate::speech::v1::ListVoicesRequest {}
impl Rpc for crate::speech::v1::ListModelsRequest {
    type Response = crate::speech::v1::ListModelsResponse;
    const METHOD: Method = Method { path: "/antiphon.speech.v1.SpeechService/ListModels", idempotent: true, public: true };
}
impl Unary for crate::speech::v1::ListModelsRequest {}
impl Rpc for crate::speech::v1::SummarizeUsageRequest {
    type Response = crate::speech::v1::SummarizeUsageResponse;
    const METHOD: Method = Method { path: "/antiphon.speech.v1.SpeechService/SummarizeUsage", idempotent: true, public: false };
}
impl Unary for crate::speech::v1::SummarizeUsageRequest {}
impl Rpc for crate::speech::v1::RedeliverUsageRequest {
    type Response = crate::speech::v1::RedeliverUsageResponse;
    const METHOD: Method = Method { path: "/antiphon.speech.v1.SpeechService/RedeliverUsage", idempotent: true, public: false };
}
impl Unary for crate::speech::v1::RedeliverUsageRequest {}
